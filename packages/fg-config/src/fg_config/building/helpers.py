"""The callables that a spec without a module may name beside Python's builtins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final


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


def call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """`function(*args, **kwargs)`."""
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
    for function in (items, keys, values, getitem, call, named_list, named_tuple, named_dict)
}
