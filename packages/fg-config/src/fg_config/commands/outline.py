"""What `graph --format repr` prints: one line per value of the graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fg_config.graph import entries
from fg_config.nodes import Call, Value, Var


def graph_outline(root: Value) -> str:
    """One line per value: where it hangs, what it is, and for nodes the file and line that wrote it.

    What is met again is not opened again, so the outline grows with the graph and not with the paths through it.
    """
    return "\n".join(_outline(root, "", 0, set()))


def _outline(value: Any, label: str, depth: int, seen: set[int]) -> Iterator[str]:
    yield f"{'    ' * depth}{label}{_describe(value, again=id(value) in seen)}"
    if id(value) in seen:
        return
    if isinstance(value, (Call, Var, dict, list, tuple)):
        seen.add(id(value))
    for name, inner in _labelled(value):
        yield from _outline(inner, f"{name}: ", depth + 1, seen)


def _describe(value: Any, *, again: bool) -> str:
    match value:
        case Call():
            name = f"@{value.name}" if value.name else ""
            return f"!{value.kind}:{value.spec}{name}  ({'the same as above, ' if again else ''}{value.span})"
        case Var():
            return f"!var {value.name}  ({value.span})"
        case dict() | list() | tuple() if value:
            return f"{type(value).__name__} of {len(value)}{'  (the same as above)' if again else ''}"
    return repr(value)


def _labelled(value: Any) -> Iterator[tuple[str, Any]]:
    for key, item in entries(value).items():
        yield f"[{key}]" if isinstance(key, int) and not isinstance(value, dict) else str(key), item
