"""A layered layout of a directed graph, after Sugiyama, Tagawa and Toda (1981).

Every node goes as many layers down as its longest path from a root is long; edges that skip layers pass through points
of their own; neighbours are ordered by barycentre to avoid crossings; and each layer is placed as near to its
neighbours as the widths allow.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_SWEEPS: Final = 8

Point = tuple[float, float]
Edge = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Centres of the nodes, and for each edge the points between its ends that it passes through."""

    centres: Mapping[str, Point]
    bends: Mapping[Edge, Sequence[Point]]


def layered(widths: Mapping[str, float], edges: Iterable[Edge], *, gap: float, layer_height: float) -> Layout:
    """Lay out nodes of the given widths; `gap` is the least space between neighbours, in the same unit."""
    own = dict.fromkeys(edge for edge in edges if edge[0] != edge[1])
    ranks = _ranks(widths, own)
    downwards = {edge: _chain(edge, ranks) for edge in own}
    layers = _layers(widths, ranks, downwards)
    segments = [pair for chain in downwards.values() for pair in pairwise(chain)]
    layers = _ordered(layers, segments)
    breadths: dict[Node, float] = {**{bend: 0.0 for chain in downwards.values() for bend in chain}, **widths}
    places = _placed(layers, segments, breadths, gap)
    level = {node: row for row, layer in enumerate(layers) for node in layer}
    points = {node: (places[node], level[node] * layer_height) for node in places}
    bends = {edge: [points[node] for node in _directed(edge, chain)[1:-1]] for edge, chain in downwards.items()}
    return Layout(centres={node: points[node] for node in widths}, bends=bends)


# --- layers -------------------------------------------------------------------------------------------------------

Node = Hashable


def _ranks(nodes: Iterable[str], edges: Iterable[Edge]) -> dict[str, int]:
    """The longest path that leads to each node; an edge that closes a circle is left out."""
    targets: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        targets[source].append(target)
    order: list[str] = []
    state: dict[str, str] = {}
    closing: set[Edge] = set()

    def visit(node: str) -> None:
        state[node] = "open"
        for target in targets[node]:
            if state.get(target) == "open":
                closing.add((node, target))
            elif target not in state:
                visit(target)
        state[node] = "done"
        order.append(node)

    for node in targets:
        if node not in state:
            visit(node)
    ranks = dict.fromkeys(targets, 0)
    for node in reversed(order):
        for target in targets[node]:
            if (node, target) not in closing:
                ranks[target] = max(ranks[target], ranks[node] + 1)
    return ranks


def _chain(edge: Edge, ranks: Mapping[str, int]) -> list[Node]:
    """The ends of an edge, the upper one first, with a node for every layer that it passes through."""
    upper, lower = sorted(edge, key=lambda node: ranks[node])
    return [upper, *((edge, rank) for rank in range(ranks[upper] + 1, ranks[lower])), lower]


def _directed(edge: Edge, chain: list[Node]) -> list[Node]:
    return chain if chain[0] == edge[0] else chain[::-1]


def _layers(nodes: Iterable[str], ranks: Mapping[str, int], chains: Mapping[Edge, list[Node]]) -> list[list[Node]]:
    layers: list[list[Node]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    for node in nodes:
        layers[ranks[node]].append(node)
    for chain in chains.values():
        for offset, node in enumerate(chain[1:-1], start=1):
            layers[ranks[str(chain[0])] + offset].append(node)
    return layers


# --- order --------------------------------------------------------------------------------------------------------


def _ordered(layers: list[list[Node]], segments: Sequence[tuple[Node, Node]]) -> list[list[Node]]:
    """The order with the fewest crossings among those that sweeps down and up produce."""
    best, fewest = layers, _crossings(layers, segments)
    for sweep in range(_SWEEPS):
        layers = _swept(layers, segments, downwards=sweep % 2 == 0)
        crossings = _crossings(layers, segments)
        if crossings < fewest:
            best, fewest = layers, crossings
    return best


def _swept(layers: list[list[Node]], segments: Sequence[tuple[Node, Node]], *, downwards: bool) -> list[list[Node]]:
    neighbours = _neighbours(segments, above=downwards)
    rows = list(layers) if downwards else layers[::-1]
    done = rows[:1]
    for row in rows[1:]:
        position = {node: index for index, node in enumerate(done[-1])}
        own = {node: index for index, node in enumerate(row)}

        def barycentre(node: Node, position: dict[Node, int] = position, own: dict[Node, int] = own) -> float:
            beside = [position[other] for other in neighbours.get(node, ()) if other in position]
            return sum(beside) / len(beside) if beside else own[node]

        done.append(sorted(row, key=barycentre))
    return done if downwards else done[::-1]


def _neighbours(segments: Sequence[tuple[Node, Node]], *, above: bool) -> dict[Node, list[Node]]:
    found: dict[Node, list[Node]] = {}
    for upper, lower in segments:
        key, other = (lower, upper) if above else (upper, lower)
        found.setdefault(key, []).append(other)
    return found


def _crossings(layers: list[list[Node]], segments: Sequence[tuple[Node, Node]]) -> int:
    place = {node: (row, index) for row, layer in enumerate(layers) for index, node in enumerate(layer)}
    by_row: dict[int, list[tuple[int, int]]] = {}
    for upper, lower in segments:
        by_row.setdefault(place[upper][0], []).append((place[upper][1], place[lower][1]))
    return sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for row in by_row.values() for i, a in enumerate(row) for b in row[:i])


# --- places -------------------------------------------------------------------------------------------------------


def _placed(
    layers: list[list[Node]], segments: Sequence[tuple[Node, Node]], widths: Mapping[Node, float], gap: float
) -> dict[Node, float]:
    """Horizontal places: every node at the mean of its neighbours, as far as the order and the widths allow."""
    places: dict[Node, float] = {}
    for layer in layers:
        places |= _spread(layer, dict.fromkeys(layer, 0.0), widths, gap)
    both = (_neighbours(segments, above=True), _neighbours(segments, above=False))
    for sweep in range(2 * _SWEEPS):
        neighbours = both[sweep % 2]
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            wished = {node: _mean([places[other] for other in neighbours.get(node, [node])]) for node in layer}
            places |= _spread(layer, wished, widths, gap)
    return places


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _spread(
    layer: Sequence[Node], wished: Mapping[Node, float], widths: Mapping[Node, float], gap: float
) -> dict[Node, float]:
    """The places nearest to the wished ones (least squares) that keep the order and the gaps.

    Taking the distances off first turns the gaps into "not decreasing", which pooling adjacent violators solves.
    """
    offsets = [0.0]
    for left, right in pairwise(layer):
        offsets.append(offsets[-1] + (widths[left] + widths[right]) / 2 + gap)
    pools: list[tuple[float, int]] = []  # mean and size
    for node, offset in zip(layer, offsets, strict=False):
        mean, size = wished[node] - offset, 1
        while pools and pools[-1][0] > mean:
            before, count = pools.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        pools.append((mean, size))
    flat = [mean for mean, size in pools for _ in range(size)]
    return {node: value + offset for node, value, offset in zip(layer, flat, offsets, strict=False)}
