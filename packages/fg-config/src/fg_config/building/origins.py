"""What an object really is, under all its names: `logging:os.system` is `posix.system`.

The names are dotted (`torch.nn.modules.linear.Linear`). An object that hides others has several: a bound method those
of the function and of the object it is bound to, a `functools.partial` those of what it calls, a class its bases.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Iterator
from types import (
    BuiltinFunctionType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Final

_FUNCTIONS: Final = (
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    MethodDescriptorType,
    WrapperDescriptorType,
    MethodWrapperType,
    functools.partial,
)


def is_named(found: object) -> bool:
    """Whether `found` is a thing of code: a module, a class or a function of whatever sort."""
    return isinstance(found, (ModuleType, type, *_FUNCTIONS))


def names_of(found: object) -> Iterator[str]:
    """The dotted names of a callable, a class or a module; of an instance those of its class."""
    match found:
        case ModuleType():
            yield found.__name__
        case type():
            yield from _class_name(found)
        case functools.partial():
            yield from _names_in_partial(found)
        case MethodType():
            yield from names_of(found.__func__)
            yield from _owner_name(found.__self__)
        case BuiltinFunctionType() | MethodWrapperType():
            yield from _builtin_names(found)
        case MethodDescriptorType() | WrapperDescriptorType():
            yield f"{found.__objclass__.__module__}.{found.__qualname__}"
        case _ if hasattr(found, "__qualname__"):
            yield f"{found.__module__}.{found.__qualname__}"
        case _:
            yield from _class_name(type(found))
    wrapped = getattr(found, "__wrapped__", None)
    if callable(wrapped):
        yield from names_of(wrapped)


def base_names(found: object) -> Iterator[str]:
    """The dotted names of the bases of a class; those of the builtins say nothing about it."""
    for base in found.__mro__[1:] if isinstance(found, type) else ():
        if base.__module__ != "builtins":
            yield f"{base.__module__}.{base.__qualname__}"


def _class_name(found: type) -> Iterator[str]:
    """Classes of compiled extensions may claim to be builtins; then only the name in the spec says what they are."""
    if found.__module__ != "builtins" or hasattr(builtins, found.__name__) or found.__name__ == "function":
        yield f"{found.__module__}.{found.__qualname__}"


def _owner_name(owner: object) -> Iterator[str]:
    yield from _class_name(owner if isinstance(owner, type) else type(owner))


def _names_in_partial(found: functools.partial[Any]) -> Iterator[str]:
    yield "functools.partial"
    for inner in (found.func, *found.args, *found.keywords.values()):
        if inner is found.func or is_named(inner):
            yield from names_of(inner)


def _builtin_names(found: Callable[..., Any]) -> Iterator[str]:
    owner, name = getattr(found, "__self__", None), found.__qualname__
    if isinstance(owner, ModuleType):
        yield f"{owner.__name__}.{name}"
    elif owner is not None and type(owner).__module__ != "pybind11_builtins":  # its functions do not say whose they are
        yield f"{_defining_class(owner, found.__name__).__module__}.{name}"
    elif getattr(found, "__module__", None):
        yield f"{found.__module__}.{name}"


def _defining_class(owner: object, name: str) -> type:
    """The class that a method bound to `owner` comes from; `owner` is an instance, or the class of a class method."""
    lines = [owner.__mro__, type(owner).__mro__] if isinstance(owner, type) else [type(owner).__mro__]
    return next((kind for line in lines for kind in line if name in vars(kind)), type(owner))
