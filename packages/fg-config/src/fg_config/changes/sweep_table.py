"""A sweep as a table: a column for each value that differs, a row for each combination, the config as it is first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from fg_config.changes.compare import Change, Place
from fg_config.changes.digest import head
from fg_config.changes.sweep import SweepRow
from fg_config.shown import shown_flow

_AS_IT_IS: Final = "(as it is)"
_NOTHING: Final = "-"
_WIDEST: Final = 32  # of a value; the whole of it is in the JSON


def table(rows: Sequence[SweepRow], output_dir: str | None) -> str:
    """The combinations below the config as it is, whose output directory is `output_dir`."""
    found = {path: _cell(change, change.old) for row in rows for path, change in _changes(row).items()}
    before = dict(sorted(found.items()))
    lines = [["", *before], [_AS_IT_IS, *before.values()], *([row.name, *_values(row, before)] for row in rows)]
    if any(row.difference.sharing for row in rows):
        _add(lines, ["shared objects", _NOTHING, *(f"{len(row.difference.sharing)} changed" for row in rows)])
    if any(row.output_dir for row in rows):
        _add(lines, ["output_dir", output_dir or _NOTHING, *(row.output_dir or _NOTHING for row in rows)])
    return "\n".join(_aligned(lines))


def _changes(row: SweepRow) -> dict[str, Change]:
    return {change.path or "root": change for change in row.difference.changes}


def _values(row: SweepRow, before: dict[str, str]) -> Iterator[str]:
    changes = _changes(row)
    for path, value in before.items():
        yield _cell(changes[path], changes[path].new) if path in changes else value


def _cell(change: Change, place: Place | None) -> str:
    """A value of one side of a change; of another callable at the same place, its name."""
    if place is None:
        return _NOTHING
    text = " ".join((head(place.value) if change.kind == "spec" else shown_flow(place.value)).split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _add(lines: list[list[str]], column: Sequence[str]) -> None:
    for line, cell in zip(lines, column, strict=True):
        line.append(cell)


def _aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
