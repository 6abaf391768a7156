"""The new value of an override, read as the type of the value it replaces."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fg_config.changes.structure import reachable
from fg_config.nodes import Call, Span, Value, Var
from fg_config.tagged import tagged_content, untagged

NULL: Final = ("~", "null")
_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


@dataclass(frozen=True, slots=True)
class ReadValue:
    """A value, where the entries inside it were written, and the keys of the lists in it (as in a graph)."""

    value: Value
    spans: Mapping[tuple[int, Any], Span] = field(default_factory=dict)
    item_keys: Mapping[int, Sequence[Any]] = field(default_factory=dict)


def read_value(text: str, old: Value, span: Span) -> ReadValue:
    """What `text` says in place of `old`.

    Numbers, booleans and strings keep their type (an integer is also a float; `~` and `null` are null except for a
    string, which takes its text as is). A container takes YAML of its kind, null and nodes any YAML, tags included.
    Raises `ValueError` naming both when the text does not fit, and `YamlError` for what is no YAML.
    """
    example = old.default if isinstance(old, Var) else old
    if isinstance(example, str):
        return ReadValue(text)
    if isinstance(example, (bool, int, float)):
        return ReadValue(None if text in NULL else _scalar(text, example))
    if not isinstance(old, (Call, Var)) or tagged_content(old) is not None:
        return _fitting(_yaml(text, span), old, text)
    return _yaml(text, span)


def read_json(text: str, old: Value) -> ReadValue:
    """What JSON text says, whatever type it replaces; a list stays a tuple and a tagged container tagged.

    Raises `ValueError` for what is no JSON.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no JSON: {error}") from error
    if isinstance(old, float) and type(value) is int:
        value = float(value)
    return _in_place_of(old, ReadValue(value))


def _scalar(text: str, old: bool | int | float) -> bool | int | float:
    from fg_config.projects.dynamic_args import parse_bool

    try:
        if isinstance(old, bool):
            return parse_bool(text)
        return int(text) if isinstance(old, int) else float(re.sub(r"^([-+]?)\.(inf|nan)$", r"\1\2", text))
    except ValueError as error:
        kind = {bool: "a bool", int: "an int", float: "a float"}[type(old)]
        raise ValueError(f"{text!r} is not {kind}, as {old!r} is") from error


def _yaml(text: str, span: Span) -> ReadValue:
    """One YAML value. Unlike in YAML 1.1, `3e-4` is a number: nobody who types it on a command line means a string."""
    from fg_config.parsing.parse import parse_graph
    from fg_config.rendering.sourcemap import RenderedText

    if _NUMBER.fullmatch(text.strip()):
        return ReadValue(float(text))

    class Argument(RenderedText):
        def span(self, offset: int) -> Span:
            return span

    graph = parse_graph(Argument(f"- {text}"))
    if not isinstance(graph.root, list) or len(graph.root) != 1:
        raise ValueError(f"{text!r} is more than one value")
    inside = reachable(graph.root[0])
    spans = {place: written for place, written in graph.spans.items() if place[0] in inside}
    return ReadValue(
        graph.root[0], spans, {number: keys for number, keys in graph.item_keys.items() if number in inside}
    )


def _fitting(new: ReadValue, old: Value, text: str) -> ReadValue:
    wanted, given = untagged(old), new.value
    if wanted is None or given is None or isinstance(given, (Call, Var)):
        return new
    kind = "mapping" if isinstance(wanted, dict) else "list"
    if not isinstance(given, dict if kind == "mapping" else (list, tuple)):
        raise ValueError(f"{text!r} is no {kind}")
    return _in_place_of(old, new)


def _in_place_of(old: Value, new: ReadValue) -> ReadValue:
    """`new` in the shape of `old`: a tuple stays one, and a tagged container keeps its tag."""
    wanted = untagged(old)
    value, spans = new.value, dict(new.spans)
    if isinstance(wanted, tuple) and isinstance(value, list):
        items = tuple(value)
        spans |= {(id(items), key): span for (number, key), span in new.spans.items() if number == id(value)}
        value = items
    if isinstance(old, Call) and isinstance(value, (list, tuple, dict)) and type(value) is type(wanted):
        value = replace(old, args=(value,))
    return ReadValue(value, spans, new.item_keys)
