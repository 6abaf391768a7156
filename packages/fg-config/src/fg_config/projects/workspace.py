"""Finding the workspace and the project that a directory belongs to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fg_config.errors import ProjectError

WORKSPACE: Final = "forgather_workspace"
META: Final = "meta.yaml"


def find_workspace_dir(start: str | os.PathLike[str]) -> Path:
    """The nearest directory at or above `start` that holds `forgather_workspace/`. Raises `ProjectError`."""
    for directory in _upwards(start):
        if (directory / WORKSPACE).is_dir():
            return directory
    raise ProjectError(
        f"no workspace at or above {Path(start).absolute()}",
        code="FG0601",
        help=f"a workspace is a directory that holds {WORKSPACE}/; `forgather ws create DIR` makes one",
    )


def find_project_dir(start: str | os.PathLike[str] = ".") -> Path:
    """The nearest directory at or above `start` that holds `meta.yaml`. Raises `ProjectError`."""
    if not Path(start).expanduser().exists():
        raise ProjectError(f"no such directory: {Path(start).absolute()}", code="FG0602", help="choose one with -p DIR")
    for directory in _upwards(start):
        if (directory / META).is_file():
            return directory
    raise ProjectError(
        f"no project at or above {Path(start).absolute()}",
        code="FG0602",
        help=f"a project is a directory with a {META}; choose one with -p DIR, or make one: `forgather project create`",
    )


def _upwards(start: str | os.PathLike[str]) -> list[Path]:
    place = Path(os.path.normpath(Path(start).expanduser().absolute()))  # keeps symbolic links
    return [place, *place.parents]
