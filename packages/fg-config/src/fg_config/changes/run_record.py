"""What a run leaves beside its logs, so that it can be read and compared when the config has long changed.

graph.json          the graph, in its saved form
origins.json        where everything in the graph was written, overrides included
config.yaml         the rendered text
dynamic_args.json   template variables that were given
run.json            config, project, overrides, hashes of the templates, git commit
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fg_config.changes.overrides import Override
from fg_config.changes.revisions import state_of
from fg_config.changes.saved_graph import graph_from_json, graph_with_places, places_of
from fg_config.errors import GraphError, ProjectError
from fg_config.files import atomic_write
from fg_config.graph import Graph

if TYPE_CHECKING:
    from fg_config.projects.project import Project

GRAPH: Final = "graph.json"
ORIGINS: Final = "origins.json"
_TEXT, _VARIABLES, _RUN = "config.yaml", "dynamic_args.json", "run.json"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A saved run. `templates` maps files to the SHA-256 of their content; `commit` is None outside a repository.

    `modified` says whether files of the workspace differed from the commit.
    """

    graph: Graph
    text: str = ""
    dynamic_args: Mapping[str, Any] = field(default_factory=dict)
    config_name: str = ""
    project_dir: Path | None = None
    overrides: tuple[Override, ...] = ()
    templates: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    modified: bool = False

    def unchanged_line(self, file: str, line: int) -> str:
        """A line (from 1) of a template of the run, empty when the file is not what it was."""
        path = Path(file)
        if not path.is_file() or self.templates.get(file) != _hash(path):
            return ""
        lines = path.read_text(encoding="utf-8").split("\n")
        return lines[line - 1] if line <= len(lines) else ""


def save_run_record(project: Project, directory: str | os.PathLike[str]) -> None:
    """Write the record of a run of `project` into `directory`, which is created."""
    place = Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    graph = project.graph
    atomic_write(place / _TEXT, project.pp_config)
    atomic_write(place / GRAPH, _dumped(graph.to_json()))
    atomic_write(place / ORIGINS, json.dumps(places_of(graph), separators=(",", ":")))
    atomic_write(place / _VARIABLES, _dumped(project.template_vars))
    atomic_write(place / _RUN, _dumped(_description(project)))


def load_run_record(directory: str | os.PathLike[str]) -> RunRecord:
    """Read the record of a run. Files other than `graph.json` may be missing, as in runs of older versions.

    Raises `ProjectError` when there is no graph, `GraphError` when what is there is damaged.
    """
    place = Path(directory)
    if not (place / GRAPH).is_file():
        raise ProjectError(f"{place} is no run: it has no {GRAPH}", code="FG0650")
    run = _read(place / _RUN, {})
    if isinstance(run, dict) and run.get("format", _FORMAT) != _FORMAT:
        raise GraphError(f"{place / _RUN} has the format {run['format']!r}, not {_FORMAT}", code="FG0471")
    try:
        described = _described(run)
    except (KeyError, TypeError, AttributeError) as error:
        raise GraphError(f"{place / _RUN} is damaged: {error!r}", code="FG0471") from error
    return RunRecord(
        graph=load_graph(place / GRAPH),
        text=(place / _TEXT).read_text(encoding="utf-8", errors="replace") if (place / _TEXT).is_file() else "",
        dynamic_args=_read(place / _VARIABLES, {}),
        **described,
    )


def load_graph(path: Path) -> Graph:
    """A graph saved at `path`, with its places if they are saved beside it. Raises `GraphError`."""
    data, places = _read(path, None), _read(path.with_name(ORIGINS), None)
    return graph_from_json(data) if places is None or path.name != GRAPH else graph_with_places(data, places)


def _description(project: Project) -> dict[str, Any]:
    state = state_of(project.meta.workspace_root)
    return {
        "format": _FORMAT,
        "config_name": project.config_name,
        "project_dir": str(project.project_dir),
        "overrides": [{"flag": each.flag, "text": each.text, "number": each.number} for each in project.overrides],
        "templates": {use.file: _hash(Path(use.file)) for use in project.templates_used if Path(use.file).is_file()},
        "git": None if state is None else {"commit": state.commit, "modified": state.modified},
    }


def _described(run: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `RunRecord` that `_description` wrote."""
    git = run.get("git") or {}
    return {
        "config_name": run.get("config_name", ""),
        "project_dir": Path(run["project_dir"]) if "project_dir" in run else None,
        "overrides": tuple(Override(**each) for each in run.get("overrides", ())),
        "templates": dict(run.get("templates", {})),
        "commit": git.get("commit"),
        "modified": git.get("modified", False),
    }


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _dumped(value: Any) -> str:
    return json.dumps(value, indent=1, default=str)


def _read(path: Path, missing: Any) -> Any:
    if not path.is_file():
        return missing
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GraphError(f"{path} is no JSON: {error}", code="FG0471") from error
