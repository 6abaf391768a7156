"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_FIGURE: Final = (*"0123456789-–", "")


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; those of figures are aligned to the right."""
    columns = list(zip(header, *rows, strict=True))
    return "\n".join("  ".join(line).rstrip() for line in zip(*map(_aligned, columns), strict=True))


def _aligned(column: Sequence[str]) -> list[str]:
    width = max(map(len, column))
    figures = all(cell[:1] in _FIGURE for cell in column[1:])
    return [cell.rjust(width) if figures else cell.ljust(width) for cell in column]


def number(value: float | None) -> str:
    """A figure in few characters, "–" for none."""
    if value is None:
        return "–"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if size == 0 or size >= 1e-3 else f"{value:.1e}"
