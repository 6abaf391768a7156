"""The project record: what `meta.yaml` says about search path, configs and names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fg_config.environment import ConfigEnvironment, LoadedConfig
from fg_config.errors import ProjectError
from fg_config.graph import Graph
from fg_config.hints import nearest
from fg_config.nodes import Span
from fg_config.paths import config_dir
from fg_config.projects.workspace import META, WORKSPACE, find_workspace_dir
from fg_config.shown import shown_value
from fg_config.tagged import is_plain, untagged

KEYS: Final = ("searchdir", "config_prefix", "default_config", "name", "description", "system_path")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectMeta:
    """A project record, read from `files`. Paths are absolute; `extra` holds the keys nobody reads.

    `places` says where each key was written.
    """

    project_dir: Path
    workspace_root: Path
    searchdir: tuple[Path, ...]
    config_prefix: str = "configs"
    default_config: str | None = None
    name: str | None = None
    description: str | None = None
    system_path: Path | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    places: Mapping[str, Span] = field(default_factory=dict)

    @property
    def search_path(self) -> list[Path]:
        """Where templates are searched: the project's directories, the workspace, the user's own templates."""
        common = [self.workspace_root / WORKSPACE, config_dir() / "templates"]
        return list(dict.fromkeys([*self.searchdir, *(path for path in common if path.is_dir())]))

    @property
    def variables(self) -> dict[str, Any]:
        """Template variables of every template of the project."""
        return {"project_dir": str(self.project_dir), "workspace_root": str(self.workspace_root)}


def read_project_meta(project_dir: str | os.PathLike[str]) -> ProjectMeta:
    """Render and read `meta.yaml` of the project at `project_dir`. Raises `ConfigError`."""
    directory = Path(os.path.normpath(Path(project_dir).expanduser().absolute()))  # keeps links
    if not (directory / META).is_file():
        raise ProjectError(f"{directory} is no project: it has no {META}", code="FG0602")
    workspace_root = find_workspace_dir(directory)
    loaded = load_meta(directory, workspace_root)
    record = _with_default_config(_record(loaded.graph, directory), directory)
    files = tuple(dict.fromkeys(Path(use.file) for use in loaded.templates_used))
    return ProjectMeta(project_dir=directory, workspace_root=workspace_root, files=files, **record)


def load_meta(project_dir: Path, workspace_root: Path) -> LoadedConfig:
    """`meta.yaml`, rendered and parsed. Its templates are searched in the project and its workspace."""
    bare = ProjectMeta(project_dir=project_dir, workspace_root=workspace_root, searchdir=(project_dir,))
    return ConfigEnvironment(bare.search_path, bare.variables).load(META)


def _record(graph: Graph, directory: Path) -> dict[str, Any]:
    root: Any = {} if graph.root is None else untagged(graph.root)
    if not isinstance(root, dict) or not is_plain(root):
        help = "write `key: value` lines; a project without any is an empty file"
        message = f"{META} must be a mapping of plain values"
        raise ProjectError(message, code="FG0603", span=Span(file=str(directory / META), line=1), help=help)
    extra = {key: value for key, value in root.items() if key not in KEYS}
    for key in extra:
        import logging  # imported here: most projects are in order

        place = graph.span(key) or directory / META
        logging.getLogger(__name__).warning("%s: nobody reads the key %r; %s", place, key, nearest(key, KEYS))
    record: dict[str, Any] = {key: root[key] for key in KEYS if root.get(key) is not None}
    for key, value in record.items():
        if key != "searchdir" and not isinstance(value, str):
            message, help = (
                f"{key!r} must be a string, not {shown_value(value)}",
                "put it in quotes if it is meant as text",
            )
            raise ProjectError(message, code="FG0603", span=graph.span(key), help=help)
    record["searchdir"] = _directories(graph, record.get("searchdir", ["templates"]), directory)
    if "system_path" in record:
        record["system_path"] = _absolute(directory, record["system_path"])
    places = {key: span for key in root if (span := graph.span((key,)))}
    return {**record, "extra": extra, "places": places}


def _directories(graph: Graph, value: Any, directory: Path) -> tuple[Path, ...]:
    items = [value] if isinstance(value, str) else untagged(value)
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        message, help = (
            f"'searchdir' must be a list of directories, not {shown_value(value)}",
            "write `searchdir: [ templates ]`",
        )
        raise ProjectError(message, code="FG0603", span=graph.span("searchdir"), help=help)
    return tuple(dict.fromkeys(_absolute(directory, item) for item in items))


def _absolute(directory: Path, path: str) -> Path:
    return Path(os.path.normpath(directory / Path(path).expanduser()))


def _with_default_config(record: dict[str, Any], directory: Path) -> dict[str, Any]:
    if "default_config" in record:
        return record
    names = config_names(record["searchdir"], record.get("config_prefix", "configs"))
    return {**record, "default_config": names[0] if names else None}


def config_names(searchdir: tuple[Path, ...], prefix: str) -> list[str]:
    """The configs below `prefix` in every search directory, each name once, sorted; hidden directories are skipped."""
    roots = (directory / prefix for directory in searchdir)
    return sorted({name for root in roots for _, name in files_with_suffix(root, ".yaml")})


def files_with_suffix(root: Path, suffix: str) -> Iterator[tuple[Path, str]]:
    """The files below `root` that end so, and their names relative to it; hidden ones are skipped."""
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for path in (Path(folder, name) for name in files if name.endswith(suffix) and not name.startswith(".")):
            yield path, path.relative_to(root).as_posix()
