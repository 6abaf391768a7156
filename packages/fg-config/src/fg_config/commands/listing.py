"""What `ls` prints: projects and their configs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any, Final

from fg_config.environment import ConfigEnvironment
from fg_config.errors import ConfigError, ProjectError
from fg_config.hints import nearest
from fg_config.nodes import Call, Var
from fg_config.projects.config_files import default_problem, ignored_files, ignored_message
from fg_config.projects.meta import ProjectMeta, config_names, read_project_meta
from fg_config.projects.workspace import META, find_project_dir
from fg_config.tagged import untagged

_BLANK: Final = re.compile(r"^\w+: @\w+@$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigEntry:
    """One config of a project; `error` is the reason why it cannot be read, `report` the whole of it."""

    config: str
    name: str | None = None
    description: str | None = None
    config_class: str | None = None
    default: bool = False
    error: str | None = None
    report: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectListing:
    """A project and its configs; `error` and `report` say why the project itself cannot be read.

    `problems` are about configs that should be there and are not.
    """

    path: Path
    name: str | None = None
    description: str | None = None
    configs: tuple[ConfigEntry, ...] = ()
    problems: tuple[str, ...] = ()
    error: str | None = None
    report: str | None = None

    @property
    def failed(self) -> bool:
        broken = any(entry.error is not None for entry in self.configs)
        return self.error is not None or broken or bool(self.problems)

    def to_json(self) -> dict[str, Any]:
        fields = ("config", "name", "description", "config_class", "default", "error")
        return {
            "path": str(self.path),
            "name": self.name,
            "description": self.description,
            "error": self.error,
            "problems": list(self.problems),
            "configs": [{field: getattr(entry, field) for field in fields} for entry in self.configs],
        }


# --- ls -----------------------------------------------------------------------------------------------------------


def find_projects(places: Sequence[Path], *, recursive: bool) -> Iterator[Path]:
    """The projects that hold `places`, or with `recursive` every project below them, sorted.

    Raises `ProjectError` for a place without any.
    """
    for place in places:
        if not recursive:
            yield find_project_dir(place)
            continue
        found = list(_projects_below(place))
        if not found:
            raise ProjectError(f"no project below {place.absolute()}", code="FG0602", help="choose a directory with -p")
        yield from found


def _projects_below(place: Path) -> Iterator[Path]:
    for folder, subfolders, files in os.walk(place):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if META in files and not _is_scaffold(Path(folder, META)):
            yield Path(folder)


def _is_scaffold(meta: Path) -> bool:
    """Whether `project create` fills in this record; YAML has no values that begin with @, so a project has none."""
    return _BLANK.search(meta.read_text(encoding="utf-8", errors="replace")) is not None


def list_project(path: Path, only: str = "") -> ProjectListing:
    """Read every config of the project at `path`, or the one called `only`; what cannot be read becomes an error.

    Raises `ProjectError` when the project has no config of that name.
    """
    try:
        record = read_project_meta(path)
    except ConfigError as error:
        return ProjectListing(path=path, error=_reason(error), report=str(error))
    names = config_names(record.searchdir, record.config_prefix)
    if only and only not in names:
        raise ProjectError(f"no config {only!r} in {path}", code="FG0604", help=nearest(only, names, "configs"))
    names = [only] if only else names
    entries = tuple(_entry(record, name) for name in names)
    problems = () if only else tuple(_problems(record))
    return ProjectListing(
        path=path, name=record.name, description=record.description, configs=entries, problems=problems
    )


def _problems(record: ProjectMeta) -> Iterator[str]:
    problem = default_problem(record, ConfigEnvironment(record.search_path, record.variables))
    if problem is not None:
        yield "; ".join(filter(None, [_reason(problem), problem.help]))
    yield from map(ignored_message, ignored_files(record))


def _entry(record: ProjectMeta, config: str) -> ConfigEntry:
    default = config == record.default_config
    environment = ConfigEnvironment(record.search_path, record.variables)
    name = f"{record.config_prefix}/{config}"
    try:
        graph = environment.load_config(name, variables={}, directory=record.project_dir).graph
        meta = untagged(graph.target("meta"))
    except ConfigError as error:
        return ConfigEntry(config=config, default=default, error=_reason(error), report=str(error))
    return ConfigEntry(
        config=config,
        default=default,
        name=_text(meta, "config_name"),
        description=_text(meta, "config_description"),
        config_class=_text(meta, "config_class"),
    )


def _text(meta: Any, key: str) -> str | None:
    value = meta.get(key) if isinstance(meta, dict) else None
    return None if value is None or isinstance(value, (Call, Var)) else str(value)


def _reason(error: ConfigError) -> str:
    """The report in one line: what is wrong, and where."""
    return f"{error.message} ({error.span})" if error.span is not None else error.message


def listing_text(listing: ProjectListing, *, with_path: bool, full_reports: bool = False) -> str:
    """`NAME : DESCRIPTION` and one line per config, the default in brackets; or whole reports of what failed."""
    head = [f"Project Path: {listing.path}"] if with_path else []
    if listing.error is not None:
        reason = _shown(listing.error, listing.report, full_reports)
        return "\n".join([*head, f"PARSE ERROR : {listing.path}: {reason}"])
    title = f"{listing.name or listing.path.name} : {listing.description or ''}".rstrip()
    problems = (f"    PROBLEM : {problem}" for problem in listing.problems)
    return "\n".join([*head, title, *(_entry_text(entry, full_reports) for entry in listing.configs), *problems])


def _shown(error: str, report: str | None, full_reports: bool) -> str:
    return f"\n{indent(report, '        ')}" if full_reports and report else error


def _entry_text(entry: ConfigEntry, full_reports: bool) -> str:
    config = f"[{entry.config}]" if entry.default else entry.config
    if entry.error is not None:
        return f"    {config:<30} PARSE ERROR : {_shown(entry.error, entry.report, full_reports)}"
    return f"    {config:<30} {entry.name or ''} : {entry.description or ''}".rstrip()
