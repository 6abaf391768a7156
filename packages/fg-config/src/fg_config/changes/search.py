"""Finding values of a graph by the last step of their path."""

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
    todo: deque[tuple[tuple[Any, ...], Value]] = deque([((), graph.root)])
    seen: set[int] = set()
    while todo:
        steps, value = todo.popleft()
        content = tagged_content(value)
        holder = value if content is None else content
        if not is_holder(holder) or id(holder) in seen:
            continue
        seen.add(id(holder))
        inside = entries(holder)
        if step in inside:
            yield path_text([*steps, step])
        todo += [((*steps, key), item) for key, item in inside.items()]
