"""Whether a module or a file belongs to the project: it lies below one of its directories, and is not installed."""

from __future__ import annotations

import sysconfig
from collections.abc import Sequence
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path


def is_below(path: Path, roots: Sequence[Path]) -> bool:
    """Whether `path`, with symbolic links resolved, is one of the (resolved) `roots` or below one."""
    place = path.resolve()
    return any(place.is_relative_to(root) for root in roots)


def local_file(module: str, roots: Sequence[Path]) -> Path | None:
    """The file or directory of the top-level `module` when it lies below `roots` and no installer put it there.

    The module is not imported.
    """
    place = _location(module)
    installed = place is None or "site-packages" in place.parts or is_below(place, _installation())
    return None if installed or place is None or not is_below(place, roots) else place


def _location(module: str) -> Path | None:
    spec = PathFinder.find_spec(module)
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ())
    place = spec.origin if spec.has_location else places[0] if places else None
    return Path(place).resolve() if place else None


@cache
def _installation() -> tuple[Path, ...]:
    return tuple({Path(place).resolve() for name, place in sysconfig.get_paths().items() if "lib" in name})
