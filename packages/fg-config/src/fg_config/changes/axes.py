"""The axes of a sweep: `lr=1e-3,3e-4` for a flag of the config, `trainer_args.seed=1,2` for a value of the graph."""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fg_config.changes.search import paths_ending_in
from fg_config.errors import ProjectError
from fg_config.graph import Graph
from fg_config.hints import nearest
from fg_config.nodes import Span
from fg_config.projects.dynamic_args import DynamicArg, parse_bool
from fg_config.steps import steps_of

_AXIS: Final = re.compile(r'((?:"(?:[^"\\]|\\.)*"|[^="])+)=(.*)', re.DOTALL)
_OPEN, _CLOSE = "[{(", "]})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One thing that varies. With `argument` the values set a template variable, without it they are overrides."""

    name: str
    values: tuple[str, ...]
    argument: DynamicArg | None = None

    @property
    def varied(self) -> tuple[str | int, ...]:
        """What varies, however it was written: the variable of the flag, or the steps of the path."""
        return (self.argument.names[0],) if self.argument else tuple(steps_of(self.name))

    @property
    def short_name(self) -> str:
        """The last step of the path."""
        return str(steps_of(self.name.lstrip("+"))[-1])

    def applied(self, variables: Mapping[str, Any], value: str) -> dict[str, Any]:
        """Template variables with `value` for the flag of this axis; a switch that is off sets none."""
        if self.argument is None:
            return dict(variables)
        others = {name: each for name, each in variables.items() if name != self.argument.dest}
        try:
            if self.argument.options.get("action") != "store_true":
                return {**others, self.argument.dest: self.argument.convert(value)}
            return {**others, self.argument.dest: True} if parse_bool(value) else others
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise _error(f"{self.argument.names[0]}: {error}", self.argument.span) from error


def parse_axes(texts: Iterable[str], graph: Graph, arguments: Sequence[DynamicArg]) -> list[Axis]:
    """The axes that `texts` describe.

    A name is that of a flag of the config (`lr` for `--lr`) or else a path into the graph. Raises `ProjectError` for
    text without `=`, names that are neither, flags that take no single value, and values given twice.
    """
    names = ((name.lstrip("-"), each) for each in arguments for name in (each.dest, *each.names))
    flags = dict(names)
    axes = [_axis(text, number, graph, flags) for number, text in enumerate(texts, 1)]
    for axis, other in itertools.combinations(axes, 2):
        if axis.varied == other.varied:
            raise _error(f"{other.name!r} is given twice", None, "one axis has all its values: a=1,2,3")
    return axes


def split_values(text: str) -> list[str]:
    """The values between commas; commas inside brackets and quotes belong to a value."""
    values, depth, quote = [""], 0, ""
    for character in text:
        if quote or character in "\"'":
            quote = "" if character == quote else quote or character
        elif character in _OPEN or character in _CLOSE:
            depth += 1 if character in _OPEN else -1
        elif character == "," and depth <= 0:
            values.append("")
            continue
        values[-1] += character
    return values


def _axis(text: str, number: int, graph: Graph, flags: dict[str, DynamicArg]) -> Axis:
    span = Span(file="sweep", line=number)
    found = _AXIS.fullmatch(text)
    if found is None:
        raise _error(f"{text!r} is no axis", span, "write NAME=VALUE,VALUE… with a flag of the config or a path")
    name, values = found[1], tuple(split_values(found[2]))
    if len(set(values)) < len(values):
        raise _error(f"{text!r} has a value twice", span)
    argument = flags.get(name.lstrip("-"))
    if argument is None:
        _check_path(name, span, graph, flags)
    elif argument.options.get("nargs") or argument.options.get("action", "store") not in ("store", "store_true"):
        raise _error(f"{argument.names[0]} takes no single value", span, "sweep a path into the graph instead")
    return Axis(name=name, values=values, argument=argument)


def _check_path(name: str, span: Span, graph: Graph, flags: Iterable[str]) -> None:
    """A bare word that is neither a flag nor a target gets near matches; longer paths are checked when they are set."""
    if name.startswith("+") or len(steps_of(name)) != 1 or name in graph.targets:
        return
    paths = [repr(path) for path in paths_ending_in(graph, name)]
    help = f"did you mean {' or '.join(paths[:3])}?" if paths else nearest(name, flags, "flags")
    raise _error(f"{name!r} is neither a flag of the config nor a path into its graph", span, help)


def _error(message: str, span: Span | None, help: str | None = None) -> ProjectError:
    return ProjectError(message, code="FG0653", span=span, help=help)
