"""A short name for what a value says: equal values have equal digests, whatever their sharing, places and key order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from fg_config.changes.structure import is_holder
from fg_config.graph import entries
from fg_config.nodes import Value
from fg_config.tagged import tag_of, untagged


def head(value: Value) -> str:
    """What a value is apart from what it holds: its type or tag, for nodes also spec and name; a scalar whole."""
    if isinstance(value, (dict, list, tuple)):
        return type(value).__name__
    return tag_of(value) or f"{type(value).__name__} {value!r}"


def same_key(key: object) -> tuple[str, str]:
    """Keys that are one for YAML: in Python, 1 and True are the same."""
    return type(key).__name__, str(key)


class Digests:
    """Digests of the values of one graph, each computed once. The graph must outlive it."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def __call__(self, value: Value) -> str:
        if not is_holder(value):
            return head(value)
        if id(value) not in self._known:
            self._known[id(value)] = self._digest(value)
        return self._known[id(value)]

    def _digest(self, value: Value) -> str:
        content = untagged(value)
        inside: Iterable[tuple[Any, Value]] = entries(content).items()
        parts = [f"{same_key(key)} {self(item)}" for key, item in inside]
        text = "\0".join([head(value), type(content).__name__, *sorted(parts)])
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
