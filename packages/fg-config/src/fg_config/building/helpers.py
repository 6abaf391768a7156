"""The callables that a spec without a module may name beside Python's builtins.

`getattr` and `hasattr` stand here instead of the builtins, and `call` checks what it calls: they are the ways from one
object to another, which lead to the interpreter as well (`f.__globals__["__builtins__"]`).
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from fg_config.building.policy import chosen_policy
from fg_config.errors import PolicyError


def items(mapping: Any) -> Any:
    """`mapping.items()`."""
    return mapping.items()


def keys(mapping: Any) -> Any:
    """`mapping.keys()`."""
    return mapping.keys()


def values(mapping: Any) -> Any:
    """`mapping.values()`."""
    return mapping.values()


def getitem(container: Any, key: Any) -> Any:
    """`container[key]`."""
    return container[key]


def getattr(value: Any, name: str, /, *default: Any) -> Any:
    """`getattr(value, name)`, but not for the attributes that lead into the interpreter. Raises `PolicyError`."""
    _refuse_internal(value, name)
    found = builtins.getattr(value, name, *default)
    chosen_policy(None, None).check_result(f"getattr … {name}", found)
    return found


def hasattr(value: Any, name: str, /) -> bool:
    """`hasattr(value, name)`, under the same rule as `getattr`. Raises `PolicyError`."""
    _refuse_internal(value, name)
    return builtins.hasattr(value, name)


def _refuse_internal(value: Any, name: str) -> None:
    from jinja2.sandbox import is_internal_attribute  # imported here: the only thing that building needs of Jinja2

    internal = name.startswith("__") or is_internal_attribute(value, name)
    if internal and not chosen_policy(None, None).trusted:
        raise PolicyError(f"the import policy does not let a config read the attribute {name!r}", code="FG0453")


def call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """`function(*args, **kwargs)`. Raises `PolicyError` for a function that a config may not name."""
    chosen_policy(None, None).check_result("call", function)
    return function(*args, **kwargs)


def named_list(content: Iterable[Any] = ()) -> list[Any]:
    """A list that its aliases share (`!list`)."""
    return list(content)


def named_tuple(content: Iterable[Any] = ()) -> tuple[Any, ...]:
    """A tuple that its aliases share (`!tuple`)."""
    return tuple(content)


def named_dict(content: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = (), /, **entries: Any) -> dict[Any, Any]:
    """A dict that its aliases share (`!dict`)."""
    return dict(content, **entries)


HELPERS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (items, keys, values, getitem, getattr, hasattr, call, named_list, named_tuple, named_dict)
}
