"""A parsed config: its root value, where everything in it was written, and its saved form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fg_config.errors import GraphError, UnknownTargetError
from fg_config.hints import nearest
from fg_config.nodes import Call, Layer, Missing, Span, Value, Var
from fg_config.steps import path_text, steps_of
from fg_config.tagged import untagged


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """What a config means. Immutable; what is built from it lives in the build.

    `spans` maps (identity of a container or call, key) to the place of the entry, and `layers` to all its writes,
    oldest first, where there is more to tell than one place. `directory` is what relative file
    names in import specs are relative to. `item_keys` has the keys that the items of a `!dlist` were written with,
    by the identity of the list.
    """

    root: Value
    spans: Mapping[tuple[int, Any], Span] = field(default_factory=dict, repr=False, kw_only=True)
    directory: Path | None = field(default=None, kw_only=True)
    item_keys: Mapping[int, Sequence[Any]] = field(default_factory=dict, repr=False, kw_only=True)
    layers: Mapping[tuple[int, Any], tuple[Layer, ...]] = field(default_factory=dict, repr=False, kw_only=True)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets in the order of the config; none when the root is no mapping."""
        return tuple(self.root) if isinstance(self.root, dict) else ()

    def target(self, name: str) -> Value:
        """The value of a target. Raises `UnknownTargetError`."""
        if not isinstance(self.root, dict) or name not in self.root:
            raise UnknownTargetError(f"no target {name!r} in this config", help=nearest(name, self.targets, "targets"))
        return self.root[name]

    def at(self, path: str | Sequence[str | int]) -> Value:
        """The value at a path such as `trainer_args.lr`, `callbacks.0` or `("a.b", 0)`.

        Steps are mapping keys, indices (or the keys of a `!dlist`), keywords and positions of calls; tagged containers
        are looked through. A step with dots in it is quoted: `groups."a.b".lr`.
        Raises `GraphError` naming the step that does not exist.
        """
        value = self.root
        for step in steps_of(path):
            _, value = self.step(value, step, path)
        return value

    def span(self, path: str | Sequence[str | int]) -> Span | None:
        """Where the value at `path` was written; None when the graph was not parsed from text."""
        value, span = self.root, None
        for step in steps_of(path):
            place, value = self.step(value, step, path)
            span = self.spans.get(place)
        return value.span if span is None and isinstance(value, (Call, Var)) else span

    def origins(self, path: str | Sequence[str | int]) -> tuple[Layer, ...]:
        """Every write of the value at `path`, newest first; empty when the graph was not parsed from text."""
        value, place = self.root, None
        for step in steps_of(path):
            place, value = self.step(value, step, path)
        if place is not None and place in self.layers:
            return self.layers[place][::-1]
        span = self.span(path)
        return () if span is None else (Layer(value=value, span=span),)

    def step(self, value: Value, step: str | int, path: str | Sequence[str | int]) -> tuple[tuple[int, Any], Value]:
        """One step of `path` from `value`: where the entry is held (identity of its holder, key), and the entry.

        Raises `GraphError`.
        """
        holder = untagged(value)
        inside = entries(holder)
        item_keys = self.item_keys.get(id(holder), ())
        by_key = item_keys.index(step) if step in item_keys else None
        indices = (key for key in (_as_index(step), by_key) if key is not None)
        by_text = (key for key in inside if str(key) == step)  # `null` and `1.5` are keys, too
        for key in (step, *indices, *by_text):
            if key in inside:
                return (id(holder), key), inside[key]
        text = path if isinstance(path, str) else path_text(path)
        raise GraphError(f"no {str(step)!r} in {text!r}", code="FG0403", help=self._missing(holder, step, inside))

    def _missing(self, holder: Value, step: str | int, inside: Mapping[Any, Value]) -> str | None:
        """What to say about a step that does not exist; an item of a `!dlist` may have been there once."""
        deleted = self.layers.get((id(holder), step))
        if deleted is not None:
            return f"`~` deletes it at {deleted[-1].span}"
        return nearest(str(step), map(str, self.item_keys.get(id(holder), ()) or inside), "names")

    def entries(self, value: Value) -> dict[Any, Value]:
        """What `value` holds, by the steps that lead there: items of a `!dlist` by the keys they were written with."""
        holder = untagged(value)
        inside, keys = entries(holder), self.item_keys.get(id(holder))
        return inside if keys is None else dict(zip(keys, inside.values(), strict=True))

    def to_json(self) -> Any:
        """The graph as JSON values: containers and nodes are numbered in pre-order, a second visit is a reference.

        Raises `GraphError` when they nest more deeply than Python can follow.
        """
        return self._encoded(_Encoder())

    def numbers(self) -> dict[int, int]:
        """Identity of a container or node → the number it has in `to_json`."""
        encoder = _Encoder()
        self._encoded(encoder)
        return encoder.numbers

    def _encoded(self, encoder: _Encoder) -> Any:
        try:
            return encoder.encode(self.root)
        except RecursionError as error:
            span = self.root.span if isinstance(self.root, (Call, Var)) else None
            raise GraphError("the nodes nest too deeply to be numbered", code="FG0409", span=span) from error


def _as_index(step: str | int) -> int | None:
    return int(step) if isinstance(step, str) and step.isdecimal() else None


def entries(value: Value) -> dict[Any, Value]:
    """What a container or node holds: items by key or index, arguments by position or keyword; nothing for scalars."""
    if isinstance(value, dict):
        return value
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value))
    if isinstance(value, Call):
        special = {"latent_args": value.latent_args, "submodule_searchpath": value.submodule_searchpath}
        given = {name: content for name, content in special.items() if content is not None}
        return {**dict(enumerate(value.args)), **given, **value.kwargs}
    if isinstance(value, Var) and not isinstance(value.default, Missing):
        return {"default": value.default}
    return {}


class _Encoder:
    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self._count = 0

    def encode(self, value: Value) -> Any:
        if not isinstance(value, (list, tuple, dict, Call, Var)):
            return value
        if id(value) in self.numbers and not _is_empty(value):
            return {"$ref": self.numbers[id(value)]}
        number = self.numbers[id(value)] = self._count
        self._count += 1
        match value:
            case Call():
                return self._call(value, number)
            case Var():
                return self._var(value, number)
            case dict():
                items = [[self.encode(key), self.encode(item)] for key, item in value.items()]
                return {"$": "map", "n": number, "items": items}
        kind = "tuple" if isinstance(value, tuple) else "seq"
        return {"$": kind, "n": number, "items": [self.encode(item) for item in value]}

    def _call(self, call: Call, number: int) -> dict[str, Any]:
        result: dict[str, Any] = {"$": call.kind, "n": number, "spec": call.spec, "name": call.name}
        result["args"] = [self.encode(item) for item in call.args]
        result["kwargs"] = [[key, self.encode(item)] for key, item in call.kwargs.items()]
        for name in ("latent_args", "submodule_searchpath"):
            if getattr(call, name) is not None:
                result[name] = self.encode(getattr(call, name))
        return result

    def _var(self, var: Var, number: int) -> dict[str, Any]:
        result: dict[str, Any] = {
            "$": "var",
            "n": number,
            "name": var.name,
            "has_default": not isinstance(var.default, Missing),
        }
        if not isinstance(var.default, Missing):
            result["default"] = self.encode(var.default)
        return result


def _is_empty(value: Value) -> bool:
    return isinstance(value, (list, tuple, dict)) and not value
