"""Nested Python state as tensors plus a JSON skeleton, and back, without loss and without pickle.

JSON keeps None, bool, int, finite float, str, list and dicts with string keys. Everything else becomes an object
with one key that starts with "$":

    {"$tensor": name}  {"$array": name}     a tensor or numpy array, stored under that name
    {"$scalar": [dtype, hex]}               a numpy scalar, bit by bit
    {"$float": "nan"}                       a float that JSON has no word for
    {"$tuple": [...]}                       a tuple
    {"$dict": [[key, value], ...]}          a dict with other keys (optimizers use integers), in its order
    {"$ordered": ...}  {"$counter": ...}    OrderedDict and Counter (MultiStepLR has one), likewise

A dict from names to tensors, which is what models have, needs no skeleton. Tensors on the same memory (tied
weights) are stored once. Subclasses (enums, named tuples, dict subclasses) are refused, with the path to them:
reading them back would give another type.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from fg_checkpoint import tensor_bytes
from fg_checkpoint.errors import UnsupportedStateError
from fg_checkpoint.safetensors_io import RawTensor
from fg_checkpoint.tensor_bytes import Array

MAX_DEPTH = 100
_RESERVED = "__metadata__"  # not a tensor name in safetensors
_DICT_TAGS: dict[type, str] = {dict: "$dict", OrderedDict: "$ordered", Counter: "$counter"}


@dataclass(slots=True, kw_only=True)
class EncodedState:
    """A state in its stored form."""

    skeleton: Any = None
    """The JSON value, or the absence of one for a flat dict of tensors (see `flat`)."""
    flat: bool
    tensors: dict[str, Array] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    """For flat states: further names of a stored tensor."""
    ordered: bool = False
    """For flat states: whether it is an OrderedDict, as modules return."""

    def isolate(self) -> None:
        """Replace every tensor by a copy in host memory."""
        self.tensors = {name: tensor_bytes.isolated_copy(value) for name, value in self.tensors.items()}


def encode(state: Any) -> EncodedState:
    """The stored form of `state`; its tensors are referenced, not copied.

    Raises:
        UnsupportedStateError: a value inside has no exact form; the message gives the path to it.
    """
    if _is_flat(state):
        return _encode_flat(state)
    encoder = _Encoder()
    skeleton = encoder.encode(state, ())
    return EncodedState(skeleton=skeleton, flat=False, tensors=encoder.tensors)


def decode(skeleton: Any, raw: Mapping[str, RawTensor]) -> Any:
    """The inverse of `encode` for a state with a skeleton."""
    return _Decoder(raw).decode(skeleton)


def decode_flat(raw: Mapping[str, RawTensor], aliases: Mapping[str, str], *, ordered: bool) -> dict[str, torch.Tensor]:
    """The inverse of `encode` for a flat state; tied names get the same tensor object, and come last."""
    tensors = {name: tensor_bytes.as_torch(value) for name, value in raw.items()}
    tensors |= {alias: tensors[name] for alias, name in aliases.items()}
    return OrderedDict(tensors) if ordered else tensors


def _is_flat(state: Any) -> bool:
    return (
        type(state) in (dict, OrderedDict)
        and bool(state)
        and all(type(name) is str and name != _RESERVED and isinstance(v, torch.Tensor) for name, v in state.items())
    )


def _encode_flat(state: Mapping[str, torch.Tensor]) -> EncodedState:
    encoded = EncodedState(flat=True, ordered=type(state) is OrderedDict)
    names: dict[Any, str] = {}
    for name, tensor in state.items():
        _check_storable(tensor, (name,))
        memory = tensor_bytes.memory_of(tensor)
        if memory is not None and memory in names:
            encoded.aliases[name] = names[memory]
        else:
            encoded.tensors[name] = tensor
            names[memory] = name
    return encoded


class _Encoder:
    def __init__(self) -> None:
        self.tensors: dict[str, Array] = {}
        self._names: dict[Any, str] = {}

    def encode(self, value: Any, path: tuple[Any, ...]) -> Any:
        if len(path) > MAX_DEPTH:
            raise UnsupportedStateError(
                f"state at {_text(path[:4])}…: nested deeper than {MAX_DEPTH} levels (a cycle?)"
            )
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"$float": str(value)}
        if kind is list:
            return self._items(value, path)
        if kind is tuple:
            return {"$tuple": self._items(value, path)}
        if kind in _DICT_TAGS:
            return self._dict(value, path)
        if isinstance(value, torch.Tensor):
            return {"$tensor": self._store(value, path)}
        if kind is np.ndarray:
            return {"$array": self._store(value, path)}
        if isinstance(value, np.generic) and value.dtype in tensor_bytes.NUMPY_NAMES:
            return {"$scalar": [value.dtype.str, value.tobytes().hex()]}
        raise UnsupportedStateError(
            f"state at {_text(path)}: a {kind.__module__}.{kind.__qualname__} cannot be saved; return built-in types "
            "(dict, list, tuple, None, bool, int, float, str), tensors or numpy arrays from state_dict()"
        )

    def _items(self, values: Iterable[Any], path: tuple[Any, ...]) -> list[Any]:
        return [self.encode(value, (*path, index)) for index, value in enumerate(values)]

    def _dict(self, value: dict[Any, Any], path: tuple[Any, ...]) -> dict[str, Any]:
        if type(value) is dict and all(type(key) is str and not key.startswith("$") for key in value):
            return {key: self.encode(item, (*path, key)) for key, item in value.items()}
        pairs = [[self.encode(key, (*path, key)), self.encode(item, (*path, key))] for key, item in value.items()]
        return {_DICT_TAGS[type(value)]: pairs}

    def _store(self, value: Array, path: tuple[Any, ...]) -> str:
        _check_storable(value, path)
        memory = tensor_bytes.memory_of(value)
        if memory is not None and memory in self._names:
            return self._names[memory]
        stem = ".".join(str(key) for key in path) or "value"
        name, count = stem, 1
        while name in self.tensors or name == _RESERVED:
            count += 1
            name = f"{stem}~{count}"  # {1: …} and {"1": …} are different keys with the same text
        self.tensors[name] = value
        self._names[memory] = name
        return name


class _Decoder:
    def __init__(self, raw: Mapping[str, RawTensor]) -> None:
        self._raw = raw
        self._made: dict[tuple[str, str], Any] = {}
        self._tags: dict[str, Callable[[Any], Any]] = {
            "$tensor": lambda name: self._array("$tensor", name),
            "$array": lambda name: self._array("$array", name),
            "$scalar": lambda pair: np.frombuffer(bytes.fromhex(pair[1]), dtype=pair[0])[0],
            "$float": float,
            "$tuple": lambda items: tuple(self.decode(item) for item in items),
            "$dict": lambda pairs: dict(self._pairs(pairs)),
            "$ordered": lambda pairs: OrderedDict(self._pairs(pairs)),
            "$counter": lambda pairs: Counter(dict(self._pairs(pairs))),
        }

    def decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        tag = next(iter(value), "")
        if tag.startswith("$"):
            return self._tags[tag](value[tag])
        return {key: self.decode(item) for key, item in value.items()}

    def _pairs(self, pairs: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        return [(self.decode(key), self.decode(item)) for key, item in pairs]

    def _array(self, tag: str, name: str) -> Array:
        if (tag, name) not in self._made:
            make = tensor_bytes.as_torch if tag == "$tensor" else tensor_bytes.as_numpy
            self._made[tag, name] = make(self._raw[name])
        return self._made[tag, name]


def _check_storable(value: Array, path: tuple[Any, ...]) -> None:
    reason = tensor_bytes.why_not_storable(value)
    if reason is not None:
        raise UnsupportedStateError(f"state at {_text(path)}: cannot save {reason}")


def _text(path: tuple[Any, ...]) -> str:
    return "".join(f"[{key!r}]" for key in path) or "its top"
