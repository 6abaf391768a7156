"""Finding values of a graph."""

from __future__ import annotations

from collections.abc import Iterator

from fg_config.graph import Graph
from fg_config.steps import path_text
from fg_config.walking import holders


def paths_ending_in(graph: Graph, *last: str | int) -> Iterator[str]:
    """The paths whose last steps are `last`, shortest first. What is shared is met once, on its shortest path."""
    wanted = tuple(map(str, last))
    for steps, inside in holders(graph):
        if tuple(map(str, steps[len(steps) - len(last) + 1 :])) == wanted[:-1] and len(steps) >= len(last) - 1:
            yield from (path_text([*steps, key]) for key in inside if str(key) == wanted[-1])


def texts_below(graph: Graph) -> Iterator[tuple[str, str]]:
    """Every text in the graph, once, with its shortest path."""
    for steps, inside in holders(graph):
        yield from ((path_text([*steps, key]), value) for key, value in inside.items() if isinstance(value, str))
