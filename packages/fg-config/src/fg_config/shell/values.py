"""Names that a config or project gives to the values of options: configs, targets, paths of the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fg_config.errors import ConfigError
from fg_config.steps import path_text

if TYPE_CHECKING:
    from fg_config.graph import Graph
    from fg_config.projects.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The project and config that the words of a command select so far."""

    project_dir: str = "."
    config: str = ""

    @classmethod
    def of(cls, words: Sequence[str]) -> Selection:
        """Read `-p` and `-t` from `words`."""
        found = {"project_dir": ".", "config": ""}
        names = {"-p": "project_dir", "--project-dir": "project_dir", "-t": "config", "--config-template": "config"}
        for index, word in enumerate(words):
            flag, equals, value = word.partition("=")
            if flag in names and (equals or index + 1 < len(words)):
                found[names[flag]] = value if equals else words[index + 1]
        return cls(**found)


def named_values(option: str, current: str, selection: Selection) -> list[str]:
    """The names that fit an argument, by its own name; none when a project or config cannot be read."""
    source = _SOURCES.get(option)
    try:
        return list(source(selection, current)) if source else []
    except (ConfigError, OSError):
        return []


def _configs(selection: Selection, current: str) -> Iterable[str]:
    from fg_config.projects.project import list_configs
    from fg_config.projects.workspace import find_project_dir

    return list_configs(find_project_dir(selection.project_dir))


def _sides(selection: Selection, current: str) -> Iterable[str]:
    """Configs, also those of a commit or another project: `HEAD:a.yaml`. A commit may have had others."""
    place, colon, _ = current.rpartition(":")
    if colon and Path(place).expanduser().is_dir():
        selection = Selection(project_dir=place)
    return (f"{place}{colon}{name}" for name in _configs(selection, current))


def _axes(selection: Selection, current: str) -> Iterable[str]:
    """The flags of the config, by the names that an axis has, and paths of the graph."""
    yield from (argument.dest for argument in _project(selection).dynamic_args)
    yield from _paths(selection, current)


def _codes(selection: Selection, current: str) -> Iterable[str]:
    from fg_config.lint.codes import CODES

    return CODES


def _listed_codes(selection: Selection, current: str) -> Iterable[str]:
    """Codes and families, the last of several between commas."""
    from fg_config.lint.codes import CODES, FAMILIES

    before, comma, _ = current.rpartition(",")
    return (f"{before}{comma}{code}" for code in (*FAMILIES, *CODES))


def _targets(selection: Selection, current: str) -> Iterable[str]:
    return _graph(selection).targets


def _paths(selection: Selection, current: str) -> Iterable[str]:
    """The next step of a dotted path of the graph."""
    head, dot, _ = current.rpartition(".")
    prefix = current[:1] if current.startswith(("+", "~")) else ""
    graph = _graph(selection)
    names = (path_text([step]) for step in graph.entries(graph.at(head.lstrip("+~"))))
    return (f"{head}{dot}{name}" if dot else f"{prefix}{name}" for name in names)


def _graph(selection: Selection) -> Graph:
    return _project(selection).graph


def _project(selection: Selection) -> Project:
    from fg_config.projects.project import Project
    from fg_config.projects.workspace import find_project_dir

    return Project(selection.config, find_project_dir(selection.project_dir))


_SOURCES: Final[dict[str, Callable[[Selection, str], Iterable[str]]]] = {
    "config_template": _configs,
    "config": _configs,
    "sides": _sides,
    "target": _targets,
    "overrides": _paths,
    "axes": _axes,
    "explain": _codes,
    "select": _listed_codes,
    "ignore": _listed_codes,
    "path": _paths,
}
