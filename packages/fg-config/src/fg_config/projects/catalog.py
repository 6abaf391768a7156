"""Which templates a project can see: its search path place by place, and every template in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fg_config.distributions import template_directories
from fg_config.paths import config_dir
from fg_config.projects.meta import ProjectMeta
from fg_config.projects.workspace import WORKSPACE

PlaceKind = Literal["project", "library", "workspace", "user", "distribution"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplatePlace:
    """A directory of the search path. `owner` is the distribution it comes with, if any."""

    kind: PlaceKind
    path: Path
    owner: str | None = None

    @property
    def exists(self) -> bool:
        """A directory that does not exist is searched all the same, and holds nothing."""
        return self.path.is_dir()

    @property
    def title(self) -> str:
        """`project`, `distribution fg-models` …"""
        return f"{self.kind} {self.owner}" if self.owner else self.kind

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "path": str(self.path), "distribution": self.owner, "exists": self.exists}


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFile:
    """A template file; `hidden_by` is the file of the same name that is found first."""

    name: str
    file: Path
    place: TemplatePlace
    hidden_by: Path | None = None

    def to_json(self) -> dict[str, Any]:
        hidden = None if self.hidden_by is None else str(self.hidden_by)
        return {"name": self.name, "file": str(self.file), "place": self.place.title, "hidden_by": hidden}


def template_places(meta: ProjectMeta) -> list[TemplatePlace]:
    """The search path of a project in order, with the directories that do not exist."""
    own = [TemplatePlace(kind=_kind(meta, path), path=path) for path in meta.search_path]
    shipped = [
        TemplatePlace(kind="distribution", path=resource.path, owner=resource.distribution)
        for resource in template_directories()
    ]
    return [*own, *shipped]


def template_files(meta: ProjectMeta) -> Iterator[TemplateFile]:
    """Every template file of the search path, sorted within its place; hidden directories are skipped."""
    first: dict[str, Path] = {}
    for place in template_places(meta):
        for file in sorted(place.path.rglob("*")):
            parts = file.relative_to(place.path).parts
            if any(part.startswith((".", "__")) for part in parts) or not file.is_file():
                continue
            name = "/".join(parts)
            winner = first.setdefault(name, file)
            yield TemplateFile(name=name, file=file, place=place, hidden_by=None if winner == file else winner)


def place_of(file: Path, meta: ProjectMeta) -> TemplatePlace:
    """The place of the search path that `file` lies in; `meta.yaml` and its like count as the project's own."""
    around = [place for place in template_places(meta) if file.is_relative_to(place.path)]
    nearest = max(around, key=lambda place: len(place.path.parts), default=None)
    return nearest or TemplatePlace(kind="project", path=meta.project_dir)


def _kind(meta: ProjectMeta, path: Path) -> PlaceKind:
    if path == meta.workspace_root / WORKSPACE:
        return "workspace"
    if path == config_dir() / "templates":
        return "user"
    return "project" if path.is_relative_to(meta.project_dir) else "library"
