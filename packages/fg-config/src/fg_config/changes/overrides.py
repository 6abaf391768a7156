"""Overrides: changes to single values of a graph, as they are written on a command line.

    trainer_args.lr=3e-4        the new value is read as the type of the old one
    trainer_callbacks.tb=~      an item of a `!dlist` goes; anything else becomes null
    +optimizer.nesterov=true    an entry that is not there yet
    ~optimizer.betas            an entry goes: a callable gets its own default again

They apply after rendering, so templates do not see them; values that templates compute with are dynamic arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fg_config.changes.edit import Edit, edited
from fg_config.changes.values import NULL, ReadValue, read_json, read_value
from fg_config.errors import GraphError
from fg_config.graph import Graph, entries
from fg_config.hints import nearest
from fg_config.nodes import MISSING, Call, Span, Value, Var
from fg_config.steps import path_text, steps_of
from fg_config.tagged import untagged
from fg_config.walking import MOST_NESTED, height

Flag = Literal["--set", "--set-json"]

_FORM: Final = re.compile(r'([+~]?)((?:"(?:[^"\\]|\\.)*"|[^="])+)(?:=(.*))?', re.DOTALL)
_HELP: Final = {
    "--set": "write PATH=VALUE, +PATH=VALUE for a new entry, or ~PATH to take one out",
    "--set-json": "write PATH=JSON or +PATH=JSON",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One change. `text` is what was written, `number` its place among the overrides, from 1."""

    text: str
    flag: Flag = "--set"
    number: int = 1

    @property
    def span(self) -> Span:
        """Where the new value was written: the flag stands for a file, the number of the override for its line."""
        return Span(file=self.flag, line=self.number)

    @property
    def words(self) -> list[str]:
        """The override as words of a command line."""
        return [self.flag, self.text]


def overrides_of(given: Iterable[Override | str]) -> tuple[Override, ...]:
    """Overrides as values, numbered in their order; a string is the text behind `--set`."""
    numbered = enumerate(given, 1)
    return tuple(
        Override(text=each, number=number)
        if isinstance(each, str)
        else Override(text=each.text, flag=each.flag, number=number)
        for number, each in numbered
    )


def overridden(graph: Graph, overrides: Iterable[Override]) -> Graph:
    """`graph` with the overrides applied, one after the other.

    Raises `GraphError` for text that is no override, a path that does not exist (or with `+` does), and a value that
    does not fit the type of the one it replaces or nests too deeply; `YamlError` for a value that is no YAML.
    """
    for override in overrides:
        try:
            graph = edited(graph, _edit(graph, override))
            deep = height(graph.root, {}) > MOST_NESTED
        except RecursionError:
            deep = True
        if deep:
            message = f"{override.text[:40]!r} … nests the graph more than {MOST_NESTED} levels deep"
            raise _error(message, override, "FG0464", None)
    return graph


def _edit(graph: Graph, override: Override) -> Edit:
    sign, path, text = _parts(override)
    steps = steps_of(path)
    if sign == "+":
        return _addition(graph, override, steps, text or "")
    place, old = _existing(graph, override, steps)
    if sign == "~" or (place[0] in graph.item_keys and text in NULL):
        return Edit(steps=steps[:-1], key=place[1], value=MISSING, span=override.span)
    return _writing(override, steps, place[1], _read(override, path, text or "", old, graph.span(steps)))


def _parts(override: Override) -> tuple[str, str, str | None]:
    found = _FORM.fullmatch(override.text)
    if found is None or (found[3] is None) != (found[1] == "~") or (found[1] == "~" and override.flag == "--set-json"):
        raise _error(f"{override.text!r} is no override", override, "FG0460", _HELP[override.flag])
    return found[1], found[2], found[3]


def _existing(graph: Graph, override: Override, steps: Sequence[str | int]) -> tuple[tuple[int, Any], Value]:
    """Where the overridden value is held, and the value."""
    value, place = graph.root, None
    for index, step in enumerate(steps):
        try:
            place, value = graph.step(value, step, steps)
        except GraphError as error:
            help = _near_paths(graph, steps) or error.help
            if index == len(steps) - 1 and override.text[0] not in "+~":
                help = f"{help or ''} (a new entry is written +{override.text})".strip()
            raise _error(error.message, override, "FG0461", help) from error
    assert place is not None  # a path has at least one step
    return place, value


def _addition(graph: Graph, override: Override, steps: Sequence[str | int], text: str) -> Edit:
    *parents, last = steps
    owner = graph.root
    if parents:
        _, owner = _existing(graph, override, parents)
    holder = untagged(owner)
    known = graph.item_keys.get(id(holder), ())
    if not isinstance(holder, (dict, list, tuple, Call)):
        what = f"{path_text(parents)!r}, which is {_named(owner)}, can hold no {str(last)!r}"
        raise _error(what, override, "FG0463", "entries are added to mappings, lists and calls")
    key, item_key = _new_key(holder, last, keyed=id(holder) in graph.item_keys)
    if key in entries(holder) or last in known:
        help = f"without + it is replaced: {override.text.removeprefix('+')}"
        raise _error(f"{path_text(steps)!r} exists already", override, "FG0463", help)
    if key is None:
        end = len(holder.args) if isinstance(holder, Call) else len(holder)
        help = f"write +{path_text([*parents, end])}=…, one behind the last"
        raise _error(f"{str(last)!r} is not the next index of {path_text(parents)!r}", override, "FG0463", help)
    return _writing(override, steps, key, _read(override, path_text(steps), text, None, None), item_key)


def _writing(
    override: Override, steps: Sequence[str | int], key: Any, new: ReadValue, item_key: str | None = None
) -> Edit:
    return Edit(
        steps=steps[:-1],
        key=key,
        value=new.value,
        span=override.span,
        item_key=item_key,
        spans=new.spans,
        item_keys=new.item_keys,
    )


def _new_key(holder: Value, step: str | int, *, keyed: bool) -> tuple[Any, str | None]:
    """The key for a new entry `step`, and its name among the items of a `!dlist`; None when there can be none."""
    index = int(step) if str(step).isdecimal() else None
    if isinstance(holder, (list, tuple)):
        if keyed and index is None:
            return len(holder), str(step)
        return (index if index is not None and index <= len(holder) else None), None
    if isinstance(holder, Call) and index is not None:
        return (index if index <= len(holder.args) else None), None
    return step, None


def _read(override: Override, path: str, text: str, old: Value, span: Span | None) -> ReadValue:
    try:
        return read_json(text, old) if override.flag == "--set-json" else read_value(text, old, override.span)
    except ValueError as error:
        place = "" if span is None else f" at {span}"
        help = f"the config has {_named(old)}{place}; --set-json replaces it by a value of any type"
        if override.flag == "--set-json":
            help = """quote the whole word for the shell: --set-json 'path={"a": [1, 2]}'"""
        raise _error(f"{path}: {error}", override, "FG0462", help) from error


def _near_paths(graph: Graph, steps: Sequence[str | int]) -> str | None:
    """Where the last step of a wrong path does exist, when the rest of it was wrong."""
    from fg_config.changes.search import paths_ending_in

    found = [path for path in paths_ending_in(graph, steps[-1]) if path != path_text(steps)]
    if found:
        return f"did you mean {' or '.join(map(repr, found[:3]))}?"
    return nearest(str(steps[0]), graph.targets, "targets") if len(steps) == 1 else None


def _named(value: Value) -> str:
    """A value in an error: short, and for nodes the way they are written."""
    match value:
        case Call():
            return f"!{value.kind}:{value.spec}"
        case Var():
            return f"!var {value.name}"
        case dict() | list() | tuple():
            return f"a {type(value).__name__} of {len(value)}"
    return f"the {type(value).__name__} {value!r:.60}" if value is not None else "null"


def _error(message: str, override: Override, code: str, help: str | None) -> GraphError:
    return GraphError(message, code=code, span=override.span, snippet=override.text, help=help)
