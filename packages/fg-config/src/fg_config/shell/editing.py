"""`edit` of the interactive shell: the templates of a config by where they come from, and a choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fg_config.errors import ConfigError
from fg_config.projects.catalog import place_of, template_files
from fg_config.projects.meta import META, ProjectMeta, read_project_meta
from fg_config.projects.project import Project

_ORDER: Final = ("config", "project", "library", "workspace", "user")


@dataclass(frozen=True, slots=True, kw_only=True)
class EditableFile:
    """A file and the heading that it stands under."""

    title: str
    file: Path


def editable_files(project_dir: Path, config: str) -> list[EditableFile]:
    """The files that a config is made of; all templates of the project when it cannot be rendered."""
    meta = read_project_meta(project_dir)
    found = [EditableFile(title=_title(file, meta, index == 0), file=file) for index, file in _files(meta, config)]
    found.append(EditableFile(title="project", file=project_dir / META))
    return sorted(dict.fromkeys(found), key=lambda each: (_rank(each.title), each.title))


def _rank(title: str) -> int:
    return _ORDER.index(title) if title in _ORDER else len(_ORDER)


def _files(meta: ProjectMeta, config: str) -> list[tuple[int, Path]]:
    try:
        used = Project(config or meta.default_config, meta.project_dir).templates_used
        files = [Path(use.file) for use in used]
    except ConfigError:
        files = [Path(), *(each.file for each in template_files(meta) if each.place.kind != "distribution")]
    return [(index, file) for index, file in enumerate(dict.fromkeys(files)) if file.is_file()]


def _title(file: Path, meta: ProjectMeta, is_config: bool) -> str:
    return "config" if is_config else place_of(file, meta).title


def numbered(files: Sequence[EditableFile], base: Path) -> str:
    """The list with a number before each file and a heading before each group."""
    lines: list[str] = []
    title = ""
    for number, each in enumerate(files, start=1):
        if each.title != title:
            title = each.title
            lines.append(f"{title.capitalize()}:")
        shown = each.file.relative_to(base) if each.file.is_relative_to(base) else each.file
        lines.append(f"  {number:>3}  {shown}")
    return "\n".join(lines)
