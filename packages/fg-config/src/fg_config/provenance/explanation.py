"""The answer to "where does this value come from", as plain data: it can be printed, saved as JSON and compared."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "written",
    "literal",
    "expression",
    "default()",
    "dynamic argument",
    "template variable",
    "environment",
    "merge",
    "redeclared",
    "super() then redeclared",
    "override",
    "replaced block",
]
FeedSource: TypeAlias = Literal[
    "set", "dynamic argument", "template variable", "environment", "default()", "not given", "local"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A line of a template. `shown` is the file as people read it, `text` the line as it was written."""

    file: str
    line: int
    shown: str
    template: str | None = None
    label: str | None = None
    block: str | None = None
    text: str = ""

    @property
    def place(self) -> str:
        """`project.yaml:12 [block]`, with the sub-template where there is one."""
        block = f" [{self.block}]" if self.block else ""
        label = f" in sub-template {self.label}" if self.label else ""
        return f"{self.shown}:{self.line}{block}{label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A name that an expression read: its value, what gave it that value, and what that was computed from.

    `value` is text, None when it cannot be known (a loop variable, an argument of a macro). `given` says how a value
    from outside came in (`--lr`), `default` what the template falls back to.
    """

    name: str
    source: FeedSource
    value: str | None = None
    site: Site | None = None
    given: str | None = None
    default: str | None = None
    feeds: tuple[Feed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One place that wrote the value, or would have written it had a child not replaced the whole block.

    A saved graph knows no more of the kind than `written`: whether by a literal or an expression, only templates tell.
    `value` is None for text that was never rendered. `merged_at` is the line of the `<<` that a merge came through.
    """

    kind: Kind
    site: Site
    value: str | None = None
    merged_at: Site | None = None
    feeds: tuple[Feed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An argument of a node or an item of a container: one line of where it comes from."""

    name: str
    value: str
    kind: Kind | None = None
    site: Site | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where the value at `path` comes from: every write of it, newest first, and what it holds.

    `value` is the saved form of the value (see `Graph.to_json`), `shown` its text. Origins whose kind is `replaced
    block` stand last: their text was never rendered.
    """

    path: str
    value: Any
    shown: str
    origins: tuple[Origin, ...] = ()
    entries: tuple[Entry, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Every field as JSON values."""
        return dataclasses.asdict(self)
