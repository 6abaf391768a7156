"""Reading marks back: a rendered text, and the template line behind each place in it."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from fg_config.nodes import Span
from fg_config.rendering.marks import Mark, read_marks, unmarked

Sites: TypeAlias = tuple[tuple[int, int], ...]
"""The includes around a place, outermost first: template and line."""
_NOWHERE: Final[Sites] = ()


@dataclass(frozen=True, slots=True)
class SourceMap:
    """Offsets in a rendered text → spans. `describe(template, line, column, sites)` makes the span.

    `columns` are those of literal text; 0 where an expression made the text. Both they and `sites` may be left out.
    """

    offsets: Sequence[int]
    places: Sequence[tuple[int, int]]
    line_starts: Sequence[int]
    describe: Callable[[int, int, int, Sites], Span]
    columns: Sequence[int] = ()
    sites: Sequence[Sites] = ()

    def span(self, line: int, column: int = 0) -> Span | None:
        """The template line behind a place in the rendered text (both from 0): the nearest mark before it."""
        if not self.offsets or line >= len(self.line_starts):
            line, column = min(line, len(self.line_starts) - 1), 0
        offset = self.line_starts[line] + column
        index = bisect_right(self.offsets, offset) - 1
        if index < 0:
            return self._describe(0, 0) if self.places else None
        return self._describe(index, self._column(index, offset))

    def spans_in(self, line: int) -> list[Span]:
        """Every template line that a rendered line (from 0) was made from, in the order of the text."""
        end = self.line_starts[line + 1] if line + 1 < len(self.line_starts) else None
        first = bisect_left(self.offsets, self.line_starts[line])
        last = len(self.offsets) if end is None else bisect_left(self.offsets, end)
        return [self._describe(index, 0) for index in range(first, last)]

    def _describe(self, index: int, column: int) -> Span:
        return self.describe(*self.places[index], column, self.sites[index] if self.sites else _NOWHERE)

    def _column(self, index: int, offset: int) -> int:
        """Literal text stands in the template as it does in the result, from the mark to the end of the line."""
        known = self.columns[index] if self.columns else 0
        return known and known + offset - self.offsets[index]


def extract(marked: str, describe: Callable[[int, int, int, Sites], Span]) -> tuple[str, SourceMap]:
    """Take the marks out of a rendered text."""
    offsets: list[int] = []
    marks: list[Mark] = []
    around: list[Sites] = []
    sites = _NOWHERE
    for offset, mark in read_marks(marked):
        if mark.enters:
            sites = (*sites, mark[:2])
        elif mark.leaves:
            sites = _left(sites, mark[:2])
        else:
            offsets.append(offset)
            marks.append(mark)
            around.append(sites)
    text = unmarked(marked)
    line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
    places, columns = [mark[:2] for mark in marks], [mark.column for mark in marks]
    return text, SourceMap(offsets, places, line_starts, describe, columns, around)


def _left(sites: Sites, site: tuple[int, int]) -> Sites:
    """`sites` without `site` and what lies inside it; a filter may have taken its beginning away."""
    for index in range(len(sites) - 1, -1, -1):
        if sites[index] == site:
            return sites[:index]
    return sites


class RenderedText(str):
    """The text a config renders to, with its map back to the templates."""

    source_map: SourceMap | None

    def __new__(cls, text: str, source_map: SourceMap | None = None) -> RenderedText:
        self = super().__new__(cls, text)
        self.source_map = source_map
        return self

    def span(self, line: int, column: int = 0) -> Span:
        """The place a rendered line came from (line and column from 0); without a map, the place in this text."""
        found = self.source_map.span(line, self._behind_indentation(line, column)) if self.source_map else None
        return found or Span(file="<rendered text>", line=line + 1, column=column + 1)

    def spans_in(self, line: int) -> list[Span]:
        """Every template line that a rendered line (from 0) was made from; none without a map."""
        return self.source_map.spans_in(line) if self.source_map else []

    def _behind_indentation(self, line: int, column: int) -> int:
        """Indentation carries no mark: what is said of it is said of the text behind it."""
        assert self.source_map is not None
        starts = self.source_map.line_starts
        place = starts[line] + column if line < len(starts) else len(self)
        while place < len(self) and self[place] in " \t":
            place += 1
            column += 1
        return column

    def with_line_numbers(self) -> str:
        """The text with a line number before each line."""
        lines = self.split("\n")
        width = len(str(len(lines)))
        return "\n".join(f"{number:>{width}}: {line}" for number, line in enumerate(lines, 1))
