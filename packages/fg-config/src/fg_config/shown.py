"""Values as short text: scalars as YAML, nodes by their tag, containers as far as they fit on a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fg_config.graph import entries
from fg_config.nodes import Call, Value, Var
from fg_config.tagged import tag_of, untagged

_WIDTH: Final = 60
_FLOW_WIDTH: Final = 72
_FLOW_DEPTH: Final = 3


def shown_scalar(value: object) -> str:
    """A scalar as YAML; anything that a template can hold besides as Python writes it."""
    from fg_config.exporting.export_yaml import scalar

    return scalar(value) if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


def shown_type(value: object) -> str:
    """The type of a value, with its article."""
    name = type(value).__name__
    return "null" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def shown_value(value: Value) -> str:
    """`value` on one line: a node by its tag alone, a container that is long or holds others by its size."""
    content = untagged(value)
    if isinstance(content, (Call, Var)):
        return tag_of(content)
    if not isinstance(content, (dict, list, tuple)):
        return shown_scalar(content)
    text = _brackets(content, shown_value) if _is_short(content) else ""
    if text and len(text) <= _WIDTH:
        return text
    return f"{'mapping' if isinstance(content, dict) else type(content).__name__} of {len(content)}"


def shown_flow(value: Value) -> str:
    """`value` with what it holds, three levels deep, cut off where the line is full."""
    text = _flow(value, _FLOW_DEPTH)
    return text if len(text) <= _FLOW_WIDTH else f"{text[: _FLOW_WIDTH - 1]}…"


def _flow(value: Value, depth: int) -> str:
    content, tag = untagged(value), tag_of(value)
    if not isinstance(content, (dict, list, tuple, Call, Var)):
        return shown_scalar(content)
    inside = entries(content)
    if tag and not inside and content is value:
        return tag
    text = "…" if inside and not depth else _brackets(content, lambda item: _flow(item, depth - 1))
    return f"{tag} {text}".lstrip()


def _brackets(content: Value, show: Callable[[Value], str]) -> str:
    """What a container or node holds, in flow style."""
    if isinstance(content, (list, tuple)):
        return f"[{', '.join(map(show, content))}]"
    return f"{{{', '.join(f'{key}: {show(item)}' for key, item in entries(content).items())}}}"


def _is_short(content: dict[Any, Value] | list[Value] | tuple[Value, ...]) -> bool:
    """Few scalars and no container inside: the depth of what is shown stays one, however values are shared."""
    inside = map(untagged, entries(content).values())
    return len(content) <= 12 and not any(isinstance(item, (dict, list, tuple)) for item in inside)
