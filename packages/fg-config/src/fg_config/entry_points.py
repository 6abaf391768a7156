"""Entry points of the installed distributions, read from their files.

`importlib.metadata` gives the same answer, but importing it costs as much as rendering a config: it brings a parser
of e-mail. What its plain case does is little, and a test compares the two; every other case is left to it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_INFO: Final = (".dist-info", ".egg-info")
_SECTION: Final = re.compile(r"^\[(.*?)\]\s*$", re.MULTILINE)
_NAME: Final = re.compile(r"^Name:\s*(.+?)\s*$", re.MULTILINE)
_SEPARATORS: Final = re.compile(r"[-_.]+")


class EntryPoint(NamedTuple):
    """A distribution, and one thing it declares in a group."""

    distribution: str
    value: str


def entry_points(group: str) -> list[EntryPoint]:
    """Everything that installed distributions declare in `group`, in the order of `sys.path`."""
    return list(_from_files(group) if _is_plain() else _from_metadata(group))


def _is_plain() -> bool:
    """Whether distributions can only be directories on `sys.path`: no archives, no finders of their own."""
    from importlib.machinery import PathFinder

    finders = (finder for finder in sys.meta_path if hasattr(finder, "find_distributions"))
    archives = (place for place in sys.path if place.endswith(".egg") or os.path.isfile(place))  # noqa: PTH113  # hot
    return all(finder is PathFinder for finder in finders) and not any(archives)


def _from_metadata(group: str) -> Iterator[EntryPoint]:
    from importlib import metadata

    for point in metadata.entry_points(group=group):
        yield EntryPoint(point.dist.name if point.dist else point.name, point.value)


def _from_files(group: str) -> Iterator[EntryPoint]:
    """A distribution that is found twice counts where it comes first on the path."""
    seen: set[str] = set()
    for directory in _info_directories():
        name = _SEPARATORS.sub("-", directory.name.rpartition(".")[0].partition("-")[0]).lower()
        if name in seen:
            continue
        seen.add(name)
        values = list(_values(directory / "entry_points.txt", group))
        if values:
            owner = _declared_name(directory) or name
            yield from (EntryPoint(owner, value) for value in values)


def _info_directories() -> Iterator[Path]:
    for place in sys.path:
        try:
            names = os.listdir(place or ".")  # noqa: PTH208  # names are enough
        except OSError:
            continue
        yield from (Path(place, name) for name in names if name.endswith(_INFO))


def _values(path: Path, group: str) -> Iterator[str]:
    """The values of one section of an ini file: `name = value [extras]`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return
    _, *sections = _SECTION.split(text)
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        if title == group:
            lines = (line.strip() for line in body.splitlines())
            yield from (line.partition("=")[2].strip() for line in lines if line and line[0] not in "#;")


def _declared_name(directory: Path) -> str | None:
    for name in ("METADATA", "PKG-INFO"):
        try:
            found = _NAME.search((directory / name).read_text(encoding="utf-8"))
        except OSError:
            continue
        if found:
            return found[1]
    return None
