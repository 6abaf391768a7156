"""Taking a value of a graph apart and putting it together again with other entries."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from fg_config.nodes import MISSING, Call, Value, Var
from fg_config.walking import walk

SPECIAL: Final = ("latent_args", "submodule_searchpath")  # keywords of a call that belong to the language


def is_holder(value: object) -> TypeGuard[list[Any] | tuple[Any, ...] | dict[Any, Any] | Call | Var]:
    """Whether `value` is a container or a node: what has an identity in a graph."""
    return isinstance(value, (list, tuple, dict, Call, Var))


def with_entries(holder: Value, new: Mapping[Any, Value]) -> Value:
    """A copy of `holder` that holds `new` instead: the inverse of `fg_config.graph.entries`.

    Sequences and positional arguments take the values of `new` in its order, whatever their numbers are.
    """
    match holder:
        case dict():
            return dict(new)
        case list():
            return list(new.values())
        case tuple():
            return tuple(new.values())
        case Call():
            return _call(holder, new)
        case Var():
            return dataclasses.replace(holder, default=new.get("default", MISSING))
    raise AssertionError(f"{holder!r} holds nothing")


def _call(call: Call, new: Mapping[Any, Value]) -> Call:
    keywords = {key: value for key, value in new.items() if isinstance(key, str) and key not in SPECIAL}
    return dataclasses.replace(
        call,
        args=tuple(value for key, value in new.items() if isinstance(key, int)),
        kwargs=keywords,
        latent_args=new.get("latent_args"),
        submodule_searchpath=new.get("submodule_searchpath"),
    )


def positions(holder: Value, new: Mapping[Any, Value]) -> dict[Any, Any]:
    """Key in `new` → key that the value has in `with_entries(holder, new)`."""
    if isinstance(holder, (dict, Var)):
        return {key: key for key in new}
    numbers = itertools.count()
    return {key: next(numbers) if isinstance(key, int) else key for key in new}


def reachable(root: Value) -> dict[int, Value]:
    """Every container and node of a graph by its identity, each once."""
    return {id(value): value for value in walk([root])}
