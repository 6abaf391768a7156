"""The table of block sizes: as shipped, with the rows that a user's tuner found on top.

A row holds block sizes (upper case), `num_warps`, `num_stages` and `up_to`, the largest size it is meant for. Rows
stand under the compute capability they are for ("90"), "*" for any, "interpret" for the interpreter; under
"candidates" stand those that the tuner tries.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeAlias

from fg_kernels.errors import UnknownOptionError, UnusableTableError

Row: TypeAlias = Mapping[str, int]
Table: TypeAlias = Mapping[str, Mapping[str, list[Row]]]

ENVIRONMENT_VARIABLE: Final = "FG_KERNELS_CONFIGS"
CANDIDATES: Final = "candidates"
ANY: Final = "*"

_tried: ContextVar[Mapping[str, Row] | None] = ContextVar("fg_kernels_tried_rows", default=None)


def rows_of(kernel: str, arch: str) -> list[Row]:
    """The rows by which `kernel` runs on an architecture, smallest sizes first."""
    tried = _tried.get()
    if tried and kernel in tried:
        return [tried[kernel]]
    rows = _table(user_file())[kernel]
    return rows.get(arch, rows[ANY])


def candidates_of(kernel: str) -> list[Row]:
    """The rows that the tuner tries for a kernel; none if it has nothing to tune."""
    return shipped()[kernel].get(CANDIDATES, [])


@contextmanager
def trying(rows: Mapping[str, Row]) -> Iterator[None]:
    """Inside, the kernels named in `rows` run by these instead of their table, for every size."""
    token = _tried.set(rows)
    try:
        yield
    finally:
        _tried.reset(token)


def user_file() -> Path | None:
    """Where the rows found on this machine are: FG_KERNELS_CONFIGS, or a file in the user's configuration folder.

    An empty FG_KERNELS_CONFIGS stands for no file: kernels run by the shipped table alone.
    """
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen is not None:
        return Path(chosen) if chosen else None
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "forgather" / "kernels.json"


@lru_cache(maxsize=1)
def shipped() -> Table:
    """The table of this distribution."""
    return json.loads(files("fg_kernels.triton").joinpath("configs.json").read_text("utf-8"))


def merged(base: Table, found: Table, source: Path) -> Table:
    """`base` with the rows of each kernel and architecture in `found` in place of its own.

    Raises:
        UnknownOptionError: a kernel that does not exist.
        UnusableTableError: an entry without rows, or rows with other block sizes than the kernel has.
    """
    table = {kernel: dict(rows) for kernel, rows in base.items()}
    for kernel, by_arch in found.items():
        if kernel not in base:
            raise UnknownOptionError(f"{source}: kernel", kernel, base)
        for arch, rows in by_arch.items():
            _check_rows(rows, base[kernel][ANY][0], f"{source}: {kernel}: {arch}")
            table[kernel][arch] = rows
    return table


def read(path: Path) -> dict[str, Any]:
    """The table in a file; empty if there is no such file.

    Raises:
        UnusableTableError: the file does not hold a table.
    """
    try:
        table = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UnusableTableError(f"{path} cannot be read as JSON: {error}; correct or remove it") from error
    if not isinstance(table, dict) or not all(isinstance(rows, dict) for rows in table.values()):
        raise UnusableTableError(f"{path} must map each kernel to its rows by architecture; correct or remove it")
    return table


@lru_cache(maxsize=4)
def _table(path: Path | None) -> Table:
    return shipped() if path is None else merged(shipped(), read(path), path)


def _check_rows(rows: object, example: Row, place: str) -> None:
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UnusableTableError(f"{place} must be a list of rows, at least one; it is {rows!r}")
    if "up_to" in rows[-1]:
        raise UnusableTableError(f"{place}: the last row must be for all sizes, without up_to={rows[-1]['up_to']}")
    wanted = {name for name in example if name.isupper()}
    for row in rows:
        if {name for name in row if name.isupper()} != wanted:
            raise UnusableTableError(f"{place}: {row} must give {', '.join(sorted(wanted))}")
        if not all(isinstance(value, int) and value > 0 for value in row.values()):
            raise UnusableTableError(f"{place}: {row} must hold positive whole numbers")
