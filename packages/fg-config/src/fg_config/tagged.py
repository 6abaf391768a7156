"""Tagged containers: `!list`, `!tuple` and `!dict` are calls of `named_list`, `named_tuple` and `named_dict`."""

from __future__ import annotations

from typing import Any, Final

from fg_config.nodes import Call, Value, Var

_CONTAINERS: Final[dict[str, tuple[str, type]]] = {
    "named_list": ("list", list),
    "named_tuple": ("tuple", tuple),
    "named_dict": ("dict", dict),
}


def container_tag(call: Call) -> str | None:
    """`list`, `tuple` or `dict` for a tagged container, None for any other node."""
    tag, kind = _CONTAINERS.get(call.spec, ("", object))
    plain = call.kind == "call" and not call.kwargs and call.latent_args is None and call.submodule_searchpath is None
    return tag if tag and plain and len(call.args) == 1 and type(call.args[0]) is kind else None


def tagged_content(value: object) -> list[Any] | tuple[Any, ...] | dict[Any, Any] | None:
    """The container that a tagged container stands for, None for anything else."""
    if isinstance(value, Call) and container_tag(value):
        content = value.args[0]
        assert isinstance(content, (list, tuple, dict))
        return content
    return None


def is_plain(value: Value) -> bool:
    """Whether `value` can be had without calling anything that a config names."""
    todo, seen = [value], set()
    while todo:
        current = todo.pop()
        content = tagged_content(current)
        if isinstance(current, Var) or (isinstance(current, Call) and content is None):
            return False
        inner = current if content is None else content
        if isinstance(inner, (list, tuple, dict)) and id(inner) not in seen:
            seen.add(id(inner))
            todo += inner.values() if isinstance(inner, dict) else inner
    return True
