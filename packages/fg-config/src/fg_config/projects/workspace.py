"""Finding the workspace and the project that a directory belongs to."""

from __future__ import annotations

import os
import shlex
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from fg_config.errors import ProjectError

WORKSPACE: Final = "forgather_workspace"
META: Final = "meta.yaml"
_DEPTH: Final = 3
_MOST_VISITED: Final = 500
_SHOWN: Final = 3


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
    below = list(islice(_projects_below(_upwards(start)[0]), _SHOWN + 1))
    if below:
        names = ", ".join(shlex.quote(os.path.relpath(each)) for each in below[:_SHOWN])
        help = f"choose one below with -p: {names}{' …' if len(below) > _SHOWN else ''}; `forgather ls -r` lists all"
    else:
        help = (
            f"a project is a directory with a {META}; choose one with -p DIR, or make one: `forgather project create`"
        )
    raise ProjectError(f"no project at or above {Path(start).absolute()}", code="FG0602", help=help)


def _projects_below(place: Path) -> Iterator[Path]:
    """Projects at most three levels below a directory, the upper ones first; a home directory is not searched long."""
    todo = deque([(place, 0)])
    for _ in range(_MOST_VISITED):
        if not todo:
            return
        folder, depth = todo.popleft()
        if (folder / META).is_file():
            yield folder
        elif depth < _DEPTH:
            todo.extend((each, depth + 1) for each in _subfolders(folder))


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    except OSError:  # a directory that is not ours
        return []


def _upwards(start: str | os.PathLike[str]) -> list[Path]:
    place = Path(os.path.normpath(Path(start).expanduser().absolute()))  # keeps symbolic links
    return [place, *place.parents]
