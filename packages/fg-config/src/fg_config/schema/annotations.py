"""Type annotations to JSON Schema, and whether a value of a graph fits one.

An annotation that says nothing checkable (a class of some library, a type variable) gives `{}`, which accepts anything.
"""

from __future__ import annotations

import collections.abc
import enum
import math
import types
import typing
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final, TypeAlias

Schema: TypeAlias = dict[str, Any]

_SCALARS: Final[Mapping[object, str]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    type(None): "null",
    None: "null",
}
_LISTS: Final = (list, tuple, set, frozenset)  # text is a Sequence and an Iterable too, so those say nothing
_MAPPINGS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_PYTHON_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "null": (type(None),),
    "array": (list, tuple),
    "object": (dict,),
}


def schema_of(annotation: Any) -> Schema:
    """The schema of a resolved annotation (not of a string)."""
    if isinstance(annotation, collections.abc.Hashable) and annotation in _SCALARS:
        return {"type": _SCALARS[annotation]}
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return schema_of(arguments[0])
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return _any_of([schema_of(each) for each in arguments])
    return _class_schema(origin or annotation, arguments)


def _class_schema(kind: Any, arguments: tuple[Any, ...]) -> Schema:
    if kind in _MAPPINGS:
        values = schema_of(arguments[1]) if len(arguments) == 2 else {}
        return {"type": "object", "additionalProperties": values} if values else {"type": "object"}
    if kind in _LISTS:
        return _list_schema(kind, arguments)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        values = [member.value for member in kind.__members__.values()]
        return {"enum": values} if issubclass(kind, (str, int)) else {}
    if isinstance(kind, type) and issubclass(kind, PurePath):
        return {"type": "string"}
    return {}


def _list_schema(kind: Any, arguments: tuple[Any, ...]) -> Schema:
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        return {
            "type": "array",
            "prefixItems": [schema_of(each) for each in arguments],
            "minItems": len(arguments),
            "maxItems": len(arguments),
        }
    items = schema_of(arguments[0]) if arguments else {}
    return {"type": "array", "items": items} if items else {"type": "array"}


def _any_of(schemas: list[Schema]) -> Schema:
    """One schema for alternatives; `{}` as soon as one of them accepts anything."""
    if {} in schemas:
        return {}
    if all(set(each) == {"type"} for each in schemas):
        names = list(dict.fromkeys(each["type"] for each in schemas))
        return {"type": names if len(names) > 1 else names[0]}
    return {"anyOf": schemas}


def accepts(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether `value` fits a schema that `schema_of` made. A value that is not plain data (a node) always fits."""
    if not isinstance(value, (bool, int, float, str, list, tuple, dict, type(None))):
        return True
    if "anyOf" in schema:
        return any(accepts(each, value) for each in schema["anyOf"])
    if "enum" in schema:
        return any(type(each) is type(value) and each == value for each in schema["enum"])
    return _has_type(schema.get("type"), value) and _content_fits(schema, value)


def _has_type(names: str | list[str] | None, value: Any) -> bool:
    if names is None:
        return True
    wanted = [names] if isinstance(names, str) else names
    if isinstance(value, bool):
        return "boolean" in wanted
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and "integer" in wanted:
        return True  # JSON does not tell 1.0 from 1
    return any(isinstance(value, _PYTHON_TYPES[name]) for name in wanted)


def _content_fits(schema: Mapping[str, Any], value: Any) -> bool:
    if isinstance(value, (list, tuple)) and "prefixItems" in schema:
        parts = schema["prefixItems"]
        return len(value) == len(parts) and all(map(accepts, parts, value))
    if isinstance(value, (list, tuple)) and "items" in schema:
        return all(accepts(schema["items"], item) for item in value)
    if isinstance(value, dict) and "additionalProperties" in schema:
        return all(accepts(schema["additionalProperties"], item) for item in value.values())
    return True
