"""Values as short text: scalars as YAML, nodes by their tag, containers as far as they fit on a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fg_config.nodes import Call, Value, Var
from fg_config.tagged import tagged_content

_WIDTH: Final = 60


def shown_value(value: Value) -> str:
    """`value` on one line; what is long is only counted."""
    if isinstance(value, Call) and tagged_content(value) is None:
        return f"!{value.kind}:{value.spec}{_name(value)}"
    if isinstance(value, Var):
        return f"!var {value.name}"
    content = tagged_content(value) if isinstance(value, Call) else value
    if isinstance(content, (dict, list, tuple)):
        return _container(content)
    return shown_scalar(content)


def shown_scalar(value: object) -> str:
    """A scalar as YAML; anything that a template can hold besides as Python writes it."""
    from fg_config.exporting.export_yaml import scalar

    return scalar(value) if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


def _name(call: Call) -> str:
    return f"@{call.name}" if call.name else ""


def _container(content: Mapping[Any, Value] | list[Value] | tuple[Value, ...]) -> str:
    if isinstance(content, Mapping):
        counted, brackets = f"mapping of {len(content)}", "{}"
        parts = (
            [f"{key}: {shown_value(item)}" for key, item in content.items()] if _is_short(content.values()) else None
        )
    else:
        counted, brackets = f"{type(content).__name__} of {len(content)}", "[]"
        parts = list(map(shown_value, content)) if _is_short(content) else None
    text = f"{brackets[0]}{', '.join(parts)}{brackets[1]}" if parts is not None else ""
    return text if parts is not None and len(text) <= _WIDTH else counted


def _is_short(items: Any) -> bool:
    """Few scalars and no container inside: the depth of what is shown stays one, however values are shared."""
    return len(items) <= 12 and not any(isinstance(item, (dict, list, tuple)) or tagged_content(item) for item in items)
