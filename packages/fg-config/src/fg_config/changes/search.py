"""Finding values of a graph."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from fg_config.changes.structure import is_holder
from fg_config.graph import Graph
from fg_config.nodes import Value
from fg_config.steps import path_text
from fg_config.tagged import untagged


def paths_ending_in(graph: Graph, *last: str | int) -> Iterator[str]:
    """The paths whose last steps are `last`, shortest first. What is shared is met once, on its shortest path."""
    wanted = tuple(map(str, last))
    for steps, inside in _holders(graph):
        if tuple(map(str, steps[len(steps) - len(last) + 1 :])) == wanted[:-1] and len(steps) >= len(last) - 1:
            yield from (path_text([*steps, key]) for key in inside if str(key) == wanted[-1])


def texts_below(graph: Graph) -> Iterator[tuple[str, str]]:
    """Every text in the graph, once, with its shortest path."""
    for steps, inside in _holders(graph):
        yield from ((path_text([*steps, key]), value) for key, value in inside.items() if isinstance(value, str))


def _holders(graph: Graph) -> Iterator[tuple[tuple[Any, ...], dict[Any, Value]]]:
    """The entries of every container and node, once, with its shortest path; shortest first."""
    todo: deque[tuple[tuple[Any, ...], Value]] = deque([((), graph.root)])
    seen: set[int] = set()
    while todo:
        steps, value = todo.popleft()
        holder = untagged(value)
        if is_holder(holder) and id(holder) not in seen:
            seen.add(id(holder))
            inside = graph.entries(holder)
            yield steps, inside
            todo += [((*steps, key), item) for key, item in inside.items()]
