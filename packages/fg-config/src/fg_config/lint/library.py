"""Every template that the search path of a project offers, rendered or not: what "nobody uses it" is decided by."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from fg_config.errors import ConfigError
from fg_config.lint.context import own_directories
from fg_config.lint.syntax import Syntax, syntax_of
from fg_config.projects.project import Project
from fg_config.projects.workspace import META
from fg_config.rendering.source import TemplateSource, read_source

_NAME: Final = re.compile(r"[A-Za-z_][\w.]*")
_QUOTED: Final = re.compile(r"(['\"])(.*?)\1")


@dataclass(frozen=True)
class Library:
    """The templates below the search path of a project, and its meta.yaml.

    `within` are the files that findings may be about, when only some configs are looked at; None means all.
    """

    project: Project
    within: frozenset[str] | None = None

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

    @property
    def own_sources(self) -> Iterator[TemplateSource]:
        """The templates of the project and its workspace that findings may be about."""
        roots = own_directories(self.project)
        for source in self.sources:
            inside = any(Path(source.file).is_relative_to(root) for root in roots)
            if inside and (self.within is None or source.file in self.within):
                yield source

    @cached_property
    def syntax(self) -> tuple[Syntax, ...]:
        """What each readable template binds and reads."""
        return tuple(syntax for source in self.sources if (syntax := syntax_of(source)) is not None)

    @cached_property
    def _unreadable(self) -> tuple[str, ...]:
        """The text of templates that Jinja2 cannot read: whatever stands in them may be used."""
        return tuple(source.text for source in self.sources if syntax_of(source) is None)

    @cached_property
    def names_read(self) -> frozenset[str]:
        """Every name that any template reads or imports from another."""
        read = {name for each in self.syntax for name in (*(read.name for read in each.reads), *each.imported)}
        return frozenset(read.union(*map(_NAME.findall, self._unreadable)))

    @cached_property
    def words(self) -> frozenset[str]:
        """Every constant in the code of a template: names of templates are among them, also when they are passed on."""
        words = {word for each in self.syntax for word in each.words}
        return frozenset(words.union(word for text in self._unreadable for _, word in _QUOTED.findall(text)))

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
