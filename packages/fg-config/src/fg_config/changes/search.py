"""Finding values of a graph."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from fg_config.changes.structure import is_holder
from fg_config.graph import Graph, entries
from fg_config.nodes import Value
from fg_config.steps import path_text
from fg_config.tagged import tagged_content


def paths_ending_in(graph: Graph, step: str | int) -> Iterator[str]:
    """The shortest path to every container or node that has an entry `step`, followed by it; shortest first."""
    for steps, inside in _holders(graph):
        if step in inside:
            yield path_text([*steps, step])


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
        content = tagged_content(value)
        holder = value if content is None else content
        if is_holder(holder) and id(holder) not in seen:
            seen.add(id(holder))
            inside = entries(holder)
            yield steps, inside
            todo += [((*steps, key), item) for key, item in inside.items()]
