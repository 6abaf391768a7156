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


def tag_of(value: object) -> str:
    """The tag of a node as people read it, `!call:torch:Tensor@x`, `!list:@x`, `!var lr`; empty for anything else."""
    if isinstance(value, Var):
        return f"!var {value.name}"
    if not isinstance(value, Call):
        return ""
    name = f"@{value.name}" if value.name else ""
    tag = container_tag(value)
    return f"!{tag}{':' if name else ''}{name}" if tag else f"!{value.kind}:{value.spec}{name}"


def tagged_content(value: object) -> list[Any] | tuple[Any, ...] | dict[Any, Any] | None:
    """The container that a tagged container stands for, None for anything else."""
    if isinstance(value, Call) and container_tag(value):
        content = value.args[0]
        assert isinstance(content, (list, tuple, dict))
        return content
    return None


def untagged(value: Any) -> Any:
    """What a tagged container holds, any other value itself."""
    content = tagged_content(value)
    return value if content is None else content


def plain_data(value: Value) -> Any:
    """A value that `is_plain` without its tags, in new containers; tuples become lists, and what is shared stays so."""
    known: dict[int, Any] = {}  # aliases of aliases may stand for more values than fit into memory

    def plain(current: Value) -> Any:
        inner = untagged(current)
        if not isinstance(inner, (dict, list, tuple)):
            return inner
        if id(inner) not in known:
            items = {key: plain(item) for key, item in inner.items()} if isinstance(inner, dict) else map(plain, inner)
            known[id(inner)] = items if isinstance(items, dict) else list(items)
        return known[id(inner)]

    return plain(value)


def is_plain(value: Value) -> bool:
    """Whether `value` can be had without calling anything that a config names."""
    todo, seen = [value], set()
    while todo:
        current = todo.pop()
        inner = untagged(current)
        if isinstance(inner, (Call, Var)):
            return False
        if isinstance(inner, (list, tuple, dict)) and id(inner) not in seen:
            seen.add(id(inner))
            todo += inner.values() if isinstance(inner, dict) else inner
    return True
