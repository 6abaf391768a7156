"""Command-line flags that a config declares in its target `dynamic_args`. Reading them runs no code.

An entry maps `names` (a flag or a list of flags), `type`, `choices`, and some words of argparse. What is given on the
command line becomes a template variable; what is not given stays undefined, so the template's `default()` rules.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fg_config.errors import ProjectError
from fg_config.graph import Graph
from fg_config.hints import did_you_mean, nearest
from fg_config.nodes import Span
from fg_config.shown import shown_value
from fg_config.tagged import is_plain, plain_data, untagged

logger = logging.getLogger(__name__)

_CODE: Final = "FG0610"
_OPTIONS: Final = ("action", "nargs", "metavar", "help", "const", "required", "dest")
KEYS: Final = ("names", "type", "choices", "default", *_OPTIONS)
ACTIONS: Final = ("store", "store_true", "store_false", "store_const", "append")
COUNTS: Final = ("?", "*", "+")  # of `nargs`, beside a number
_KINDS: Final = {
    "type": str,
    "action": str,
    "choices": list,
    "metavar": str,
    "help": str,
    "required": bool,
    "dest": str,
}
_EXAMPLES: Final = {"choices": "choices: [ a, b ]", "required": "required: true"}
_KEYWORDS_OF_PROJECT: Final = ("config_name", "project_dir", "policy", "overrides")
_WITHOUT_VALUE: Final = ("store_true", "store_false", "store_const")
_ABOUT_VALUES: Final = ("nargs", "metavar")
FLAG: Final = re.compile(r"--?[A-Za-z][\w-]*")
_LONE_PERCENT: Final = re.compile(r"(?<!%)%(?![%(])")
_TRUE: Final = ("true", "1", "yes", "on")
_FALSE: Final = ("false", "0", "no", "off")


def parse_bool(text: str) -> bool:
    """`true`, `1`, `yes`, `on` or their opposites, in any case. Raises `ValueError`."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(f"{text!r} is neither true nor false; write one of {', '.join(_TRUE + _FALSE)}")


def parse_path(text: str) -> str:
    """A path with `~` expanded."""
    return str(Path(text).expanduser())


CONVERTERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": parse_bool,
    "path": parse_path,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicArg:
    """One declared flag. `dest` is the template variable that a given value becomes."""

    names: tuple[str, ...]
    dest: str
    type: str = "str"
    choices: tuple[Any, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    span: Span | None = None

    @property
    def converter(self) -> Callable[[str], Any]:
        """From the word on the command line to the value."""
        return CONVERTERS[self.type]

    def convert(self, text: str) -> Any:
        """The value of a word. Raises `argparse.ArgumentTypeError`, as argparse expects of a type."""
        try:
            value = self.converter(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is no {self.type}") from error
        if self.choices is not None and value not in self.choices:
            known = [str(choice) for choice in self.choices]
            near = did_you_mean(text, known)
            message = f"{text!r} is none of {', '.join(known)}"
            raise argparse.ArgumentTypeError(f"{message}; {near}" if near else message)
        return value

    def argparse_kwargs(self) -> dict[str, Any]:
        """Keywords for `add_argument`. The default is None, which means "not given", also for `store_true`."""
        kwargs: dict[str, Any] = {"dest": self.dest, "default": None, **self.options}
        if "help" in kwargs:  # argparse knows `%(default)s`, and stumbles over any other percent sign
            kwargs["help"] = _LONE_PERCENT.sub("%%", kwargs["help"])
        if self.options.get("action") not in _WITHOUT_VALUE:
            kwargs["type"] = self.convert
            if self.choices is not None:
                kwargs["choices"] = list(self.choices)
        return kwargs


def parse_dynamic_args(graph: Graph, *, reserved: Collection[str] = ()) -> tuple[DynamicArg, ...]:
    """The flags that the target `dynamic_args` declares; none without such a target.

    `reserved` are flags that the command has already. Raises `ProjectError` for an entry that is not plain data or
    has unknown keys, for two entries that share a flag or a variable, and for a reserved flag or its variable.
    """
    if "dynamic_args" not in graph.targets:
        return ()
    target = graph.target("dynamic_args")
    plain = is_plain(target)
    entries = plain_data(target) if plain else None
    if not plain or not isinstance(entries, (list, dict, type(None))):
        help = "flags are read before anything is built: write the values out, without !call or !var"
        message = "the target dynamic_args must be a list of mappings with plain values"
        raise _error(message, graph.span("dynamic_args"), help)
    items = entries.values() if isinstance(entries, dict) else entries or ()
    arguments = tuple(_argument(entry, _place(graph, index)) for index, entry in enumerate(items) if entry is not None)
    _check_collisions(arguments, reserved)
    return arguments


def _place(graph: Graph, index: int) -> Span | None:
    if isinstance(untagged(graph.target("dynamic_args")), dict):
        return graph.span("dynamic_args")
    return graph.span(("dynamic_args", index))


def _argument(entry: Any, span: Span | None) -> DynamicArg:
    if not isinstance(entry, dict):
        raise _error(
            f"an entry of dynamic_args is a mapping, not {shown_value(entry)}",
            span,
            'write { names: "--flag", type: int }',
        )
    for key in entry:
        if key not in KEYS:
            raise _error(f"unknown key {key!r} in an entry of dynamic_args", span, nearest(str(key), KEYS, "keys"))
    entry = {key: value for key, value in entry.items() if value is not None}  # `~` deletes what a parent wrote
    names = _flags(entry.get("names"), span)
    _check_words(entry, names[0], span)
    kind, action, choices = entry.get("type", "str"), entry.get("action", "store"), entry.get("choices")
    options = {key: entry[key] for key in _OPTIONS if key in entry and key != "dest"}
    if action in _WITHOUT_VALUE:
        options = {key: value for key, value in options.items() if key not in _ABOUT_VALUES}
    return DynamicArg(
        names=names,
        dest=entry.get("dest") or _destination(names),
        type=kind,
        choices=None if choices is None else tuple(choices),
        options=options,
        span=span,
    )


def _check_words(entry: Mapping[str, Any], flag: str, span: Span | None) -> None:
    """Raise `ProjectError` for what argparse would refuse in words of its own, or only when it prints the help."""
    for key, kind in _KINDS.items():
        if key in entry and not isinstance(entry[key], kind):
            message = f"{key} of {flag} is a {kind.__name__}, not {shown_value(entry[key])}"
            raise _error(message, span, f"write {_EXAMPLES.get(key, f'{key}: text')}")
    action, count = entry.get("action", "store"), entry.get("nargs")
    for word, known, what in ((entry.get("type", "str"), CONVERTERS, "type"), (action, ACTIONS, "action")):
        if word not in known:
            raise _error(f"unknown {what} {word!r} of {flag}", span, nearest(word, known, f"{what}s"))
    if not (count is None or count in COUNTS or (type(count) is int and count > 0)):
        raise _error(
            f"nargs of {flag} is {shown_value(count)}", span, "write a number above 0, or one of ? * + in quotes"
        )
    if "const" in entry and action != "store_const" and count != "?":
        help = 'write nargs: "?" beside it, or action: store_const'
        raise _error(f"{flag} has a const that nothing would use", span, help)


def _flags(value: Any, span: Span | None) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise _error(
            "an entry of dynamic_args has no names", span, 'give it a flag, `names: "--lr"`, or a list of flags'
        )
    return tuple(_repaired(word, span) for word in words)


def _repaired(word: str, span: Span | None) -> str:
    """A flag without stray characters; a copied quote would make a flag that nobody can type."""
    if FLAG.fullmatch(word):
        return word
    repaired = re.sub(r"[^\w-]", "", word)
    if not FLAG.fullmatch(repaired):
        raise _error(f"{word!r} is no flag", span, "a flag is '-x' or '--long-name'")
    logger.warning("%s: the flag %r is read as %r", span, word, repaired)
    return repaired


def _destination(names: Iterable[str]) -> str:
    ordered = sorted(names, key=lambda name: not name.startswith("--"))
    return ordered[0].lstrip("-").replace("-", "_")


def _check_collisions(arguments: Iterable[DynamicArg], reserved: Collection[str]) -> None:
    flags: dict[str, DynamicArg] = {}
    variables: dict[str, DynamicArg] = {}
    for argument in arguments:
        for name in argument.names:
            if name in reserved:
                message = f"the config declares the flag {name}, which the command itself has"
                raise _error(message, argument.span, "give the config's flag another name")
            if flags.setdefault(name, argument) is not argument:
                raise _error(f"the flag {name} is declared twice", argument.span, f"first at {flags[name].span}")
        if argument.dest in _KEYWORDS_OF_PROJECT or f"--{argument.dest.replace('_', '-')}" in reserved:
            message = f"{argument.names[0]} would set {argument.dest!r}, which the command itself uses"
            raise _error(message, argument.span, "give its variable another name with `dest`")
        if variables.setdefault(argument.dest, argument) is not argument:
            first = variables[argument.dest]
            message = f"{argument.names[0]} and {first.names[0]} set the same variable {argument.dest!r}"
            raise _error(message, argument.span, f"first at {first.span}")


def _error(message: str, span: Span | None, help: str | None = None) -> ProjectError:
    return ProjectError(message, code=_CODE, span=span, help=help)
