"""A new project from a scaffold: a directory of files in which `@name@` and the like are filled in.

Distributions bring scaffolds along through the entry-point group `forgather.scaffolds`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fg_config.distributions import SCAFFOLDS, resources
from fg_config.errors import ProjectError
from fg_config.hints import nearest
from fg_config.paths import config_dir
from fg_config.projects.workspace import META, WORKSPACE, find_workspace_dir
from fg_config.scaffold.files import checked_template_name, filled, quoted, text_of, write_new

_DEFAULTS: Final = "meta_defaults.yaml"
PLAIN: Final = "plain"  # the scaffold that needs nothing but this distribution


def scaffolds() -> dict[str, Path]:
    """The directories of all scaffolds by name, those of other distributions first."""
    found = {
        folder.name: folder
        for resource in resources(SCAFFOLDS)
        for folder in sorted(resource.path.iterdir())
        if folder.is_dir() and not folder.name.startswith((".", "_"))
    }
    return dict(sorted(found.items(), key=lambda item: item[0] == PLAIN))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProject:
    """What a project is made from. `copy_from` is a config that becomes the first one, instead of the scaffold's."""

    parent: Path
    name: str
    description: str = ""
    config_prefix: str = "configs"
    default_config: str = "default.yaml"
    directory_name: str | None = None
    scaffold: str | None = None
    copy_from: Path | None = None

    @property
    def directory(self) -> Path:
        """Where the project will be: by default the name in lower case, with `_` for what is no letter or digit."""
        folder = self.directory_name or re.sub(r"\W+", "_", self.name.lower()).strip("_")
        if not folder:
            raise ProjectError(f"no directory name follows from {self.name!r}", help="give --project-dir-name")
        return Path(os.path.normpath(self.parent.expanduser().absolute() / folder))

    def create(self) -> list[Path]:
        """Write the files and return them. Raises `ProjectError`, and then writes nothing."""
        _check_workspace(find_workspace_dir(self.directory))
        checked_template_name(f"{self.config_prefix}/{self.default_config}")
        contents = self._copied() if self.copy_from is not None else self._from_scaffold(self._folder(), None)
        write_new(contents)
        return list(contents)

    def _folder(self) -> Path:
        known = scaffolds()
        name = self.scaffold or next(iter(known))
        if name not in known:
            raise ProjectError(f"no scaffold {name!r}", code="FG0623", help=nearest(name, known, "scaffolds"))
        return known[name]

    def _copied(self) -> dict[Path, str]:
        """README and record of the plain scaffold; the config is the text of another."""
        assert self.copy_from is not None
        text = text_of(self.copy_from.expanduser())
        return self._from_scaffold(scaffolds()[PLAIN], text)

    def _from_scaffold(self, folder: Path, config: str | None) -> dict[Path, str]:
        values = self._values()
        contents = {}
        for file in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            name = file.relative_to(folder).as_posix()
            is_config = name.endswith("/@default_config@")
            text = filled(file.read_text(encoding="utf-8"), values) if config is None or not is_config else config
            contents[self.directory / filled(name, values)] = text
        assert self.directory / META in contents
        return contents

    def _values(self) -> dict[str, str]:
        texts = {
            "name": self.name,
            "description": self.description,
            "config_prefix": self.config_prefix,
            "default_config": self.default_config,
            "directory": self.directory.name,
        }
        return {**texts, **{f"quoted_{key}": quoted(text, key.replace("_", " ")) for key, text in texts.items()}}


def _check_workspace(root: Path) -> None:
    """The record of a scaffold extends `meta_defaults.yaml`; without it, nothing of the new project could be read."""
    places = [root / WORKSPACE, config_dir() / "templates"]
    if not any((place / _DEFAULTS).is_file() for place in places):
        message = f"the workspace {root} has no {_DEFAULTS}, which a new project extends"
        help = f"`forgather ws create` in another directory writes one to copy to {root / WORKSPACE}"
        raise ProjectError(message, code="FG0626", help=help)
