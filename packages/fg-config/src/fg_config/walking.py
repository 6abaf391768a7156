"""Walks over the values of a graph: every container and node once, however often it is shared."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

from fg_config.graph import Graph, entries
from fg_config.nodes import Call, Value, Var
from fg_config.tagged import untagged

Steps: TypeAlias = tuple[Any, ...]
MOST_NESTED: Final = 150  # levels of a graph, so that whoever walks it by recursion can follow


def walk(roots: Iterable[Value], *, into_meta: bool = True) -> Iterator[Value]:
    """Every container and node below `roots`, in the order of the config.

    Without `into_meta` what `!meta` nodes receive unbuilt is left out.
    """
    todo, seen = [*roots][::-1], set()
    while todo:
        value = todo.pop()
        if not isinstance(value, (list, tuple, dict, Call, Var)) or id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if into_meta or not (isinstance(value, Call) and value.kind == "meta"):
            todo += reversed(entries(value).values())


def holders(graph: Graph) -> Iterator[tuple[Steps, dict[Any, Value]]]:
    """The entries of every container and node with its shortest path, shortest first; tags are looked through."""
    todo: deque[tuple[Steps, Value]] = deque([((), graph.root)])
    seen: set[int] = set()
    while todo:
        steps, value = todo.popleft()
        holder = untagged(value)
        if isinstance(holder, (list, tuple, dict, Call, Var)) and id(holder) not in seen:
            seen.add(id(holder))
            inside = graph.entries(holder)
            yield steps, inside
            todo += [((*steps, key), item) for key, item in inside.items()]


def height(value: Value, known: dict[int, int]) -> int:
    """How many levels of containers and nodes `value` has. `known` are heights by identity, and learns more of them."""
    if not isinstance(value, (list, tuple, dict, Call, Var)):
        return 0
    if id(value) not in known:
        known[id(value)] = 1 + max((height(item, known) for item in entries(value).values()), default=0)
    return known[id(value)]
