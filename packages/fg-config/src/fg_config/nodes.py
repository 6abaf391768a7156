"""The graph: what a config means, as immutable data. Nothing here imports or builds what a node names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

CallKind: TypeAlias = Literal["call", "factory", "partial", "meta"]
Statement: TypeAlias = Literal["extends", "include", "import"]
Value: TypeAlias = "bool | int | float | str | list[Value] | dict[Any, Value] | tuple[Value, ...] | Call | Var | None"


class Missing:
    """The type of `MISSING`: a variable without a default (None is a legal default)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A place in a file the user wrote. `line` and `column` count from 1; column 0 means the whole line.

    `label` is the sub-template inside the file, `via` the chain of includes and parents, innermost first.
    """

    file: str
    line: int
    column: int = 0
    label: str | None = None
    via: tuple[Span, ...] = ()

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" + (f":{self.column}" if self.column else "")
        return f"{place} (in sub-template {self.label})" if self.label else place


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Span):
    """A place in a chain: the statement that led on from there, and the block that it stands in."""

    statement: Statement
    block: str | None = None

    def __str__(self) -> str:
        return f"{Span.__str__(self)} {self.action}"

    @property
    def action(self) -> str:
        """`include in block 'callbacks'`."""
        return f"{self.statement} in block {self.block!r}" if self.block else self.statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One write of an entry: its value, the place of the value, and how it came there.

    An `explicit` entry stands in the mapping or call itself; a `merge` came through the `<<` at `merged_at`; an
    `override` was given from outside, after the text was read.
    """

    value: Value
    span: Span
    how: Literal["explicit", "merge", "override"] = "explicit"
    merged_at: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """A node that names a callable and its arguments. Equality is identity: sharing is part of the meaning.

    Tagged containers are calls too: `!list`, `!tuple` and `!dict` are `named_list`, `named_tuple` and `named_dict`.
    """

    kind: CallKind
    spec: str
    span: Span
    name: str | None = None
    args: tuple[Value, ...] = ()
    kwargs: Mapping[str, Value] = field(default_factory=dict)
    latent_args: Value = None
    submodule_searchpath: Value = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Var:
    """A value given when the graph is built (`!var`)."""

    name: str
    span: Span
    default: Value | Missing = MISSING
