"""Changing one entry of a graph. The result is a new graph that shares with the old one whatever is not on the way.

An entry belongs to the container or node that holds it. If that is used in several places, all of them see the change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fg_config.changes.structure import is_holder, positions, reachable, with_entries
from fg_config.graph import Graph, entries
from fg_config.nodes import Layer, Missing, Span, Value
from fg_config.tagged import untagged

_T = TypeVar("_T")
_Place = tuple[int, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What to do with the entry `key` of the value at `steps`: give it `value`, or take it out with `MISSING`.

    `span` is where the new value was written; `item_key` is the key that a new item of a `!dlist` is known by; `spans`
    and `item_keys` are about the inside of the value, as in a graph.
    """

    steps: Sequence[str | int]
    key: Any
    value: Value | Missing
    span: Span
    item_key: str | None = None
    spans: Mapping[_Place, Span] = dataclasses.field(default_factory=dict)
    item_keys: Mapping[int, Sequence[Any]] = dataclasses.field(default_factory=dict)


def edited(graph: Graph, edit: Edit) -> Graph:
    """`graph` with one entry changed. Raises `GraphError` when `edit.steps` lead nowhere."""
    owner = graph.at(edit.steps)
    holder = untagged(owner)
    new = {key: value for key, value in entries(holder).items() if key != edit.key}
    if not isinstance(edit.value, Missing):
        new = {**entries(holder), edit.key: edit.value}
    changed = with_entries(holder, new)
    rebuild = _Rebuild({id(owner): changed if holder is owner else with_entries(owner, {0: changed})})
    root = rebuild(graph.root)
    moved = _Moved(holder, changed, positions(holder, new), rebuild.new, rebuild.identities(graph))
    return _with_tables(graph, root, edit, moved)


class _Rebuild:
    """New versions of the values that hold a changed one, at any depth."""

    def __init__(self, changed: Mapping[int, Value]) -> None:
        self.new = dict(changed)

    def __call__(self, value: Value) -> Value:
        if id(value) not in self.new:
            self.new[id(value)] = self._rebuilt(value)
        return self.new[id(value)]

    def _rebuilt(self, value: Value) -> Value:
        inside = entries(value)
        new = {key: self(item) for key, item in inside.items()}
        return value if all(new[key] is item for key, item in inside.items()) else with_entries(value, new)

    def identities(self, graph: Graph) -> dict[int, int]:
        """Identity before → identity after, of everything in the graph before."""
        return {number: id(self.new.get(number, value)) for number, value in reachable(graph.root).items()}


@dataclass(frozen=True, slots=True)
class _Moved:
    """How places in the old graph are called in the new one."""

    holder: Value
    changed: Value
    keys: Mapping[Any, Any]
    new: Mapping[int, Value]
    identities: Mapping[int, int]

    def keeps(self, number: int) -> bool:
        """Whether what has this identity has one in the new graph, other than the changed value itself."""
        return number in self.identities and number != id(self.holder)

    def layer(self, layer: Layer) -> Layer:
        """A write of a value that was rebuilt wrote the new one."""
        value = self.new.get(id(layer.value), layer.value) if is_holder(layer.value) else layer.value
        return layer if value is layer.value else dataclasses.replace(layer, value=value)

    def table(self, table: Mapping[_Place, _T]) -> dict[_Place, _T]:
        """`table` for the new graph. What is known of values that left it goes: their identity may be given again."""
        result: dict[_Place, _T] = {}
        before = entries(self.holder)
        for (number, key), entry in table.items():
            if number == id(self.holder):
                if key in self.keys or key not in before:  # what is known of deleted items stays
                    result[id(self.changed), self.keys.get(key, key)] = entry
            elif self.keeps(number):
                result[self.identities[number], key] = entry
        return result


def _with_tables(graph: Graph, root: Value, edit: Edit, moved: _Moved) -> Graph:
    spans = {**moved.table(graph.spans), **edit.spans}
    layers = {place: tuple(map(moved.layer, writes)) for place, writes in moved.table(graph.layers).items()}
    known = {moved.identities[number]: keys for number, keys in graph.item_keys.items() if moved.keeps(number)}
    known |= {id(moved.changed): _item_keys(keys, edit, moved) for keys in _keys_of(graph, moved.holder)}
    if not isinstance(edit.value, Missing):
        place = (id(moved.changed), moved.keys[edit.key])
        spans[place] = edit.span
        layers[place] = (*_writes(graph, moved.holder, edit.key), _layer(edit.value, edit.span))
    else:
        for keys in _keys_of(graph, moved.holder):  # what was deleted from a `!dlist` can still be asked for by its key
            before = _writes(graph, moved.holder, edit.key)
            layers[id(moved.changed), keys[edit.key]] = (*before, _layer(None, edit.span))
    return dataclasses.replace(graph, root=root, spans=spans, layers=layers, item_keys={**known, **edit.item_keys})


def _layer(value: Value, span: Span) -> Layer:
    return Layer(value=value, span=span, how="override")


def _writes(graph: Graph, holder: Value, key: Any) -> tuple[Layer, ...]:
    """What is known of the entry before it is changed, oldest first."""
    place = (id(holder), key)
    if place in graph.layers or place not in graph.spans:
        return graph.layers.get(place, ())
    return (Layer(value=entries(holder)[key], span=graph.spans[place]),)


def _keys_of(graph: Graph, holder: Value) -> list[Sequence[Any]]:
    """The keys of a `!dlist`, if `holder` is one."""
    return [graph.item_keys[id(holder)]] if id(holder) in graph.item_keys else []


def _item_keys(before: Sequence[Any], edit: Edit, moved: _Moved) -> list[Any]:
    return [before[old] if old < len(before) else edit.item_key for old in moved.keys]
