"""A sweep: every combination of the values of some axes, with what each changes and the command that trains it."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fg_config.changes.axes import parse_axes
from fg_config.changes.compare import GraphDiff, diff
from fg_config.changes.overrides import Override, overrides_of
from fg_config.changes.search import texts_below
from fg_config.errors import GraphError, ProjectError
from fg_config.graph import Graph
from fg_config.projects.dynamic_args import DynamicArg
from fg_config.projects.project import Project

_UNSAFE: Final = re.compile(r"[^\w.,=+-]+")
_LONGEST: Final = 100  # of what is appended to a directory name; file systems take 255 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One combination. `difference` is against the config without the axes, before `output_dir` is made distinct."""

    name: str
    variables: Mapping[str, Any]
    overrides: tuple[Override, ...]
    difference: GraphDiff
    output_dir: str | None
    flags: tuple[str, ...]

    @property
    def train_words(self) -> list[str]:
        """Flags and overrides behind `train`."""
        return [*self.flags, *(word for override in self.overrides for word in override.words)]


class Sweep:
    """The product of axes over one config. All rows are rendered by the same clock.

    Where the config has an output directory (`meta.output_dir`), each row that does not set its own gets
    `<output_dir>-<row>`: by the flag that sets `output_dir` if the config declares one, else in every value below it.
    """

    def __init__(self, project: Project, axes: Iterable[str]) -> None:
        self.project = project.load_config(project.config_name, **project.template_vars)
        self.project.environment.now = datetime.now().astimezone()
        self.project = self.project.with_overrides(project.overrides)
        self._arguments = {argument.dest: argument for argument in self.project.dynamic_args}
        self.axes = parse_axes(axes, self.project.graph, list(self._arguments.values()))
        self._rendered: dict[str, Project] = {}
        self._names = Counter(_safe(self._name(values)) for values in self._combinations())

    def rows(self) -> Iterator[SweepRow]:
        """The combinations, the last axis varying fastest.

        Raises `ConfigError` for a value that does not fit, and for combinations that would write into one directory.
        """
        names: dict[str, str] = {}
        for row in map(self._row, self._combinations()):
            if row.output_dir is not None:
                other = names.setdefault(os.path.normpath(row.output_dir), row.name)
                if other != row.name:
                    raise _shared(row.output_dir, other, row.name)
            yield row

    @property
    def output_dir(self) -> str | None:
        """The output directory of the config without the axes."""
        return _output_dir(self.project.graph)

    def _combinations(self) -> Iterator[tuple[str, ...]]:
        return itertools.product(*(axis.values for axis in self.axes))

    def _row(self, values: Sequence[str]) -> SweepRow:
        varied = list(zip(self.axes, values, strict=True))
        variables = dict(self.project.template_vars)
        for axis, value in varied:
            variables = axis.applied(variables, value)
        changes = [f"{axis.name}={value}" for axis, value in varied if axis.argument is None]
        overrides = overrides_of([*self.project.overrides, *changes])
        base, graph = self.project.graph, self._project(variables).with_overrides(overrides).graph
        name, difference, directory = self._name(values), diff(base, graph), _output_dir(graph)
        if directory is not None and directory == _output_dir(base):
            directory = f"{directory}-{self._directory_name(name)}"
            variables, overrides = self._moved(variables, overrides, graph, directory)
        flags = (word for key, value in variables.items() for word in _words(self._arguments.get(key), value))
        return SweepRow(
            name=name,
            variables=variables,
            overrides=overrides,
            difference=difference,
            output_dir=directory,
            flags=tuple(flags),
        )

    def _project(self, variables: Mapping[str, Any]) -> Project:
        """The config with these variables, rendered once for all rows that have them."""
        key = repr(sorted(variables.items()))
        if key not in self._rendered:
            self._rendered[key] = self.project.load_config(self.project.config_name, **variables)
        return self._rendered[key]

    def _name(self, values: Sequence[str]) -> str:
        short = [axis.short_name for axis in self.axes]
        names = short if len(set(short)) == len(short) else [axis.name.lstrip("+") for axis in self.axes]
        return ",".join(f"{name}={value}" for name, value in zip(names, values, strict=True))

    def _directory_name(self, name: str) -> str:
        """`name` as part of a directory name; rows whose names are only told apart by odd characters get a digest."""
        text = _safe(name)
        return text if self._names[text] == 1 else _with_digest(text, name)

    def _moved(
        self, variables: dict[str, Any], overrides: tuple[Override, ...], graph: Graph, directory: str
    ) -> tuple[dict[str, Any], tuple[Override, ...]]:
        """The row with another output directory."""
        if "output_dir" in self._arguments:
            return {**variables, "output_dir": directory}, overrides
        before = _output_dir(graph)
        assert before is not None  # the caller has looked
        below = {path: text for path, text in texts_below(graph) if text == before or text.startswith(f"{before}/")}
        moves = [f"{path}={directory}{text.removeprefix(before)}" for path, text in below.items()]
        return variables, overrides_of([*overrides, *moves])


def _output_dir(graph: Graph) -> str | None:
    try:
        value = graph.at("meta.output_dir")
    except GraphError:
        return None
    return value if isinstance(value, str) else None


def _shared(directory: str, *names: str) -> ProjectError:
    message = f"{' and '.join(map(repr, names))} would both write into {directory}"
    help = "leave the output directory out: each combination then gets its own"
    return ProjectError(message, code="FG0657", help=help)


def _safe(name: str) -> str:
    """`name` as part of a directory name."""
    text = _UNSAFE.sub("-", name)
    if len(text) <= _LONGEST:
        return text
    return _with_digest(text, name)


def _with_digest(text: str, name: str) -> str:
    return f"{text[: _LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _words(argument: DynamicArg | None, value: Any) -> list[str]:
    """A dynamic argument as words of a command line."""
    assert argument is not None  # template variables of a command come from its flags
    flag, action = argument.names[0], argument.options.get("action", "store")
    if action not in ("store", "append"):
        return [flag]
    text = [str(item).lower() if isinstance(item, bool) else str(item) for item in _listed(value)]
    if argument.options.get("nargs"):
        return [flag, *text]
    return [f"{flag}={item}" if flag.startswith("--") else f"{flag}{item}" for item in text]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
