"""Names that a config or project gives to the values of options: configs, targets, paths of the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fg_config.errors import ConfigError
from fg_config.steps import path_text

if TYPE_CHECKING:
    from fg_config.graph import Graph


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
    from fg_config.projects.project import Project
    from fg_config.projects.workspace import find_project_dir

    return Project(selection.config, find_project_dir(selection.project_dir)).graph


_SOURCES: Final[dict[str, Callable[[Selection, str], Iterable[str]]]] = {
    "config_template": _configs,
    "config": _configs,
    "sides": _configs,
    "target": _targets,
    "overrides": _paths,
    "axes": _paths,
    "path": _paths,
}
