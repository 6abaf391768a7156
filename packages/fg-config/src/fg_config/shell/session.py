"""Where an interactive shell stands: its directory, project, workspace and config."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fg_config.errors import ProjectError
from fg_config.hints import nearest
from fg_config.projects.project import list_configs
from fg_config.projects.workspace import find_project_dir, find_workspace_dir


@dataclass(slots=True, kw_only=True)
class Session:
    """The state that commands share. The directory is that of the process, so that commands inherit it."""

    config: str = ""
    done: bool = False

    @property
    def directory(self) -> Path:
        """The current directory, with symbolic links resolved."""
        return Path.cwd()

    @property
    def prompt(self) -> str:
        """`forgather:<dir> [config]> `; the directory is relative to the workspace."""
        workspace = self.workspace
        place = self.directory
        shown = str(place.relative_to(workspace.parent)) if workspace else str(place)
        return f"forgather:{shown}{f' [{self.config}]' if self.config else ''}> "

    @property
    def project(self) -> Path | None:
        """The project around the directory."""
        try:
            return find_project_dir(self.directory)
        except ProjectError:
            return None

    @property
    def workspace(self) -> Path | None:
        """The workspace around the directory."""
        try:
            return find_workspace_dir(self.directory)
        except ProjectError:
            return None

    def change_directory(self, path: str) -> None:
        """Go there. Another project has other configs, so the chosen one is dropped. Raises `ProjectError`."""
        before = self.project
        try:
            os.chdir(Path(path).expanduser())
        except OSError as error:
            raise ProjectError(f"cannot go to {path}: {error.strerror}", code="FG0642") from error
        if self.project != before:
            self.config = ""

    def choose_config(self, name: str) -> None:
        """Choose the config of later commands; `-` is the project's default again. Raises `ProjectError`."""
        known = list_configs(find_project_dir(self.directory))
        if name != "-" and name not in known:
            raise ProjectError(f"no config {name!r} here", code="FG0604", help=nearest(name, known, "configs"))
        self.config = "" if name == "-" else name
