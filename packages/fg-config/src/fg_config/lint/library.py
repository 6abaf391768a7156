"""Every template that the search path of a project offers, rendered or not: what "nobody uses it" is decided by."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fg_config.errors import ConfigError
from fg_config.lint.syntax import Syntax, syntax_of
from fg_config.projects.project import Project
from fg_config.projects.workspace import META
from fg_config.rendering.source import TemplateSource, read_source


@dataclass(frozen=True)
class Library:
    """The templates below the search path of a project, and its meta.yaml."""

    project: Project

    @cached_property
    def files(self) -> dict[str, list[Path]]:
        """Template name → its files, the one that is found first."""
        found: dict[str, list[Path]] = {}
        for directory in self.project.search_path:
            for path in _files_below(directory):
                found.setdefault(path.relative_to(directory).as_posix(), []).append(path)
        return found

    @cached_property
    def sources(self) -> tuple[TemplateSource, ...]:
        """Every template and sub-template. Files that are no text are passed over."""
        sources = [part for name, (path, *_) in self.files.items() for part in _parts(name, path)]
        return (*sources, *_parts(META, self.project.project_dir / META))

    @cached_property
    def syntax(self) -> tuple[Syntax, ...]:
        """What each readable template binds and reads."""
        return tuple(syntax for source in self.sources if (syntax := syntax_of(source)) is not None)

    @cached_property
    def names_read(self) -> frozenset[str]:
        """Every name that any template reads or imports from another."""
        return frozenset(name for each in self.syntax for name in (*(read.name for read in each.reads), *each.imported))

    @cached_property
    def words(self) -> frozenset[str]:
        """Every constant in the code of a template: names of templates are among them, also when they are passed on."""
        return frozenset(word for each in self.syntax for word in each.words)

    def reads(self, name: str) -> bool:
        """Whether a template reads `name`, something in it, or all of what holds it."""
        holder = name.rpartition(".")[0]
        if name in self.names_read or (holder and holder in self.names_read):
            return True
        return any(read.startswith(f"{name}.") for read in self.names_read)


def _files_below(directory: Path) -> Iterator[Path]:
    for folder, subfolders, files in os.walk(directory):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__")))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def _parts(name: str, path: Path) -> list[TemplateSource]:
    try:
        return read_source(name, path)
    except ConfigError:
        return []
