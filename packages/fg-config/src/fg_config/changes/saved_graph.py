"""Reading a saved graph, and where everything in it was written, which is kept beside it in a file of its own.

`Graph.to_json` numbers containers and nodes in the order they are met; a second visit is `{"$ref": number}`. The
places use these numbers: `{"spans": […], "nodes": {n: span}, "entries": [[n, key, span]], "layers": …}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from fg_config.changes.structure import is_holder, reachable
from fg_config.errors import GraphError
from fg_config.graph import Graph
from fg_config.nodes import MISSING, Call, CallKind, Layer, Span, Value, Var

UNKNOWN: Final = Span(file="<saved graph>", line=1)


def graph_from_json(data: Any) -> Graph:
    """The graph that `Graph.to_json` turned into `data`: equal in values, nodes and sharing.

    Raises `GraphError` with the place in the data for anything `to_json` does not write.
    """
    return Graph(_Decoder({}).graph(data))


def graph_with_places(data: Any, places: Any) -> Graph:
    """The graph of `data` with the places that `places_of` wrote. Raises `GraphError` when either is damaged."""
    try:
        spans = _spans(places["spans"])
        decoder = _Decoder({int(number): spans[span] for number, span in places["nodes"].items()})
        root = decoder.graph(data)
        tables = _Tables(decoder.values, spans)
        return Graph(
            root,
            spans=tables.entries(places["entries"]),
            layers=tables.layers(places["layers"]),
            item_keys=tables.item_keys(places["item_keys"]),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise GraphError(f"the places of the saved graph are damaged: {error!r}", code="FG0470") from error


# --- values -------------------------------------------------------------------------------------------------------


class _Decoder:
    def __init__(self, spans: Mapping[int, Span]) -> None:
        self.values: dict[int, Value] = {}
        self._spans = spans
        self._count = 0

    def graph(self, data: Any) -> Value:
        try:
            return self.decode(data, "$")
        except RecursionError as error:
            raise GraphError("the saved graph nests too deeply", code="FG0470") from error

    def decode(self, data: Any, where: str) -> Value:
        if data is None or isinstance(data, (bool, int, float, str)):
            return data
        if not isinstance(data, dict):
            _damaged(where, f"{type(data).__name__} is no form of a value")
        if "$ref" in data:
            if data["$ref"] not in self.values:
                _damaged(where, f"no value {data['$ref']!r} before this one")
            return self.values[data["$ref"]]
        number = self._count
        if data.get("n") != number:
            _damaged(where, f"the number is {data.get('n')!r} instead of {number}")
        self._count += 1
        self.values[number] = value = self._fresh(data, where, self._spans.get(number, UNKNOWN))
        return value

    def _fresh(self, data: Mapping[str, Any], where: str, span: Span) -> Value:
        match data.get("$"):
            case "seq":
                return self._items(data, where)
            case "tuple":
                return tuple(self._items(data, where))
            case "map":
                return dict(self._pairs(data, "items", where))
            case "var":
                default = self.decode(data.get("default"), f"{where}.default") if data.get("has_default") else MISSING
                return Var(name=_text(data, "name", where), default=default, span=span)
            case "call" | "factory" | "partial" | "meta" as kind:
                return self._call(data, kind, where, span)
        _damaged(where, f"{data.get('$')!r} is no kind of value")

    def _call(self, data: Mapping[str, Any], kind: CallKind, where: str, span: Span) -> Call:
        name = data.get("name")
        if name is not None and not isinstance(name, str):
            _damaged(where, f"the name is {name!r}")
        return Call(
            kind=kind,
            spec=_text(data, "spec", where),
            name=name,
            span=span,
            args=tuple(self._items({"items": data.get("args")}, where)),
            kwargs=dict(self._pairs(data, "kwargs", where)),
            latent_args=self.decode(data.get("latent_args"), f"{where}.latent_args"),
            submodule_searchpath=self.decode(data.get("submodule_searchpath"), f"{where}.submodule_searchpath"),
        )

    def _items(self, data: Mapping[str, Any], where: str) -> list[Value]:
        items = data.get("items")
        if not isinstance(items, list):
            _damaged(where, f"the items are {type(items).__name__}, not a list")
        return [self.decode(item, f"{where}[{index}]") for index, item in enumerate(items)]

    def _pairs(self, data: Mapping[str, Any], key: str, where: str) -> list[tuple[Any, Value]]:
        pairs = data.get(key)
        if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            _damaged(where, f"the {key} are no list of pairs")
        decoded = []
        for name, item in pairs:
            name_of = self.decode(name, f"{where}.{name}")
            if isinstance(name_of, (list, dict)):
                _damaged(where, f"{name!r} is no key")
            decoded.append((name_of, self.decode(item, f"{where}.{name}")))
        return decoded


def _text(data: Mapping[str, Any], key: str, where: str) -> str:
    if not isinstance(data.get(key), str):
        _damaged(where, f"the {key} is {data.get(key)!r}, not text")
    return data[key]


def _damaged(where: str, reason: str) -> NoReturn:
    raise GraphError(f"the saved graph is damaged at {where}: {reason}", code="FG0470")


# --- places -------------------------------------------------------------------------------------------------------


def places_of(graph: Graph) -> dict[str, Any]:
    """Where everything in `graph` was written, as JSON values for `graph_with_places`."""
    numbers = graph.numbers()
    spans = _SpanTable()
    nodes = {numbers[of]: value for of, value in reachable(graph.root).items() if isinstance(value, (Call, Var))}
    return {
        "nodes": {str(number): spans(node.span) for number, node in nodes.items()},
        "entries": [[numbers[of], key, spans(span)] for (of, key), span in graph.spans.items() if of in numbers],
        "layers": [
            [numbers[of], key, [_layer(layer, numbers, spans) for layer in layers]]
            for (of, key), layers in graph.layers.items()
            if of in numbers
        ],
        "item_keys": {str(numbers[of]): list(keys) for of, keys in graph.item_keys.items() if of in numbers},
        "spans": spans.rows,
    }


class _SpanTable:
    """Spans as rows; equal ones share a row, for most entries of a config have the chain of their template."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []
        self._known: dict[Span, int] = {}

    def __call__(self, span: Span) -> int:
        if span not in self._known:
            via = [self(step) for step in span.via]
            self.rows.append([span.file, span.line, span.column, span.label, via])
            self._known[span] = len(self.rows) - 1
        return self._known[span]


def _layer(layer: Layer, numbers: Mapping[int, int], spans: Callable[[Span], int]) -> list[Any]:
    value: Any = layer.value
    if is_holder(value):
        value = {"$ref": numbers[id(value)]} if id(value) in numbers else Graph(value).to_json()
    return [value, spans(layer.span), layer.how, None if layer.merged_at is None else spans(layer.merged_at)]


def _spans(rows: Sequence[Any]) -> list[Span]:
    spans: list[Span] = []
    for file, line, column, label, via in rows:
        chain = tuple(spans[index] for index in via)
        spans.append(Span(file=file, line=line, column=column, label=label, via=chain))
    return spans


@dataclass(frozen=True, slots=True)
class _Tables:
    """The tables of a graph, with identities in place of numbers."""

    values: Mapping[int, Value]
    spans: Sequence[Span]

    def entries(self, rows: Sequence[Any]) -> dict[tuple[int, Any], Span]:
        return {(id(self.values[of]), key): self.spans[span] for of, key, span in rows}

    def item_keys(self, rows: Mapping[str, Any]) -> dict[int, Sequence[Any]]:
        return {id(self.values[int(of)]): names for of, names in rows.items()}

    def layers(self, rows: Sequence[Any]) -> dict[tuple[int, Any], tuple[Layer, ...]]:
        return {(id(self.values[of]), key): tuple(map(self._layer, layers)) for of, key, layers in rows}

    def _layer(self, row: Sequence[Any]) -> Layer:
        value, span, how, merged_at = row
        if isinstance(value, dict):
            value = self.values[value["$ref"]] if "$ref" in value else graph_from_json(value).root
        merged = None if merged_at is None else self.spans[merged_at]
        return Layer(value=value, span=self.spans[span], how=how, merged_at=merged)
