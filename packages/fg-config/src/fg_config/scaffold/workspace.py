"""A new workspace: the three files of `forgather_workspace/`, and a `.gitignore` beside it where there is none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from fg_config.errors import ProjectError
from fg_config.projects.workspace import WORKSPACE
from fg_config.scaffold.files import filled, quoted, write_new

_FILES: Final = ("README.md", "base_directories.yaml", "meta_defaults.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWorkspace:
    """What a workspace is made from. `libraries` are template directories below `forgather_dir`."""

    directory: Path
    name: str
    description: str = ""
    forgather_dir: Path | None = None
    libraries: Sequence[str] = ()
    search_path: Sequence[Path] = ()

    @property
    def root(self) -> Path:
        """The absolute directory of the workspace."""
        return Path(os.path.normpath(self.directory.expanduser().absolute()))

    def create(self) -> Path:
        """Write the files and return their directory. Raises `ProjectError`, and then writes nothing."""
        folder = self.root / WORKSPACE
        source = files("fg_config").joinpath("scaffold", "workspace_files")
        values = {
            "name": self.name,
            "description": self.description,
            "forgather_dir": self._directory_expression(self.forgather_dir) if self.forgather_dir else "workspace_root",
            "search_path": "\n".join(f'    - "{{{{ {place} }}}}"' for place in self._places()),
        }
        places = {folder / name: name for name in _FILES}
        ignored = self.root / ".gitignore"
        if not ignored.exists():
            places[ignored] = "gitignore"
        texts = {place: source.joinpath(name).read_text(encoding="utf-8") for place, name in places.items()}
        write_new({place: filled(text, values) for place, text in texts.items()})
        return folder

    def _places(self) -> list[str]:
        """Jinja2 expressions for the further directories of the search path."""
        roots = [self._library(name) for name in self.libraries]
        return [*roots, *(self._directory_expression(path) for path in self.search_path)]

    def _library(self, name: str) -> str:
        base = self.root / self.forgather_dir.expanduser() if self.forgather_dir else self.root
        for parts in ((name,), ("templatelib", name)):  # the second is where the original keeps its libraries
            if base.joinpath(*parts).is_dir():
                return f"joinpath(ns.forgather_dir, {', '.join(_literal(part) for part in parts)})"
        raise ProjectError(
            f"no template library {name!r} below {base}", code="FG0622", help="-l names a directory of templates there"
        )

    def _directory_expression(self, path: Path) -> str:
        """A relative directory stays relative, so that the workspace can be moved."""
        place = self.root / path.expanduser()
        if not place.is_dir():
            raise ProjectError(f"no such directory: {place}", code="FG0622", help="relative to the new workspace")
        if path.expanduser().is_absolute():
            return _literal(str(path.expanduser()))
        return f"normpath(joinpath(workspace_root, {_literal(path.as_posix())}))"


def _literal(text: str) -> str:
    """A Jinja2 string inside a YAML string in double quotes."""
    if "'" in text or '"' in text:
        raise ProjectError(f"a directory of a workspace may not hold quotes: {text}", code="FG0621")
    quoted(text, "the directory")
    return f"'{text}'"
