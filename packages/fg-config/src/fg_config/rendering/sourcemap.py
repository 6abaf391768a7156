"""Reading marks back: a rendered text, and the template line behind each place in it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from fg_config.nodes import Span
from fg_config.rendering.marks import Mark, read_marks, unmarked

Sites: TypeAlias = tuple[tuple[int, int], ...]
"""The includes around a place, outermost first: template and line."""
_NOWHERE: Final[Sites] = ()


class SourceMap(NamedTuple):
    """Offsets in a rendered text → spans. `describe(template, line, column, sites)` makes the span.

    `columns` are those of literal text; 0 where an expression made the text. Both they and `sites` may be left out.
    """

    offsets: Sequence[int]
    places: Sequence[tuple[int, int]]
    describe: Callable[[int, int, int, Sites], Span]
    columns: Sequence[int] = ()
    sites: Sequence[Sites] = ()

    def span(self, offset: int) -> Span | None:
        """The template line behind a place in the rendered text: that of the nearest mark before it."""
        index = bisect_right(self.offsets, offset) - 1
        if index < 0:
            return self._describe(0, 0) if self.places else None
        return self._describe(index, self._column(index, offset))

    def spans_between(self, start: int, end: int) -> list[Span]:
        """Every template line that a piece of the rendered text was made from, in the order of the text."""
        first, last = bisect_left(self.offsets, start), bisect_left(self.offsets, end)
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
    places, columns = [mark[:2] for mark in marks], [mark.column for mark in marks]
    return text, SourceMap(offsets, places, describe, columns, around)


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

    def span(self, offset: int) -> Span:
        """Where the text at `offset` came from; without a map, the place in this text.

        Offsets, not lines: YAML also ends lines where no template does (U+0085, U+2028).
        """
        found = self.source_map.span(self._behind_indentation(offset)) if self.source_map else None
        if found is not None:
            return found
        line_start = self.rfind("\n", 0, offset) + 1
        return Span(file="<rendered text>", line=self.count("\n", 0, offset) + 1, column=offset - line_start + 1)

    def _behind_indentation(self, offset: int) -> int:
        """Indentation carries no mark: what is said of it is said of the text behind it."""
        while offset < len(self) and self[offset] in " \t":
            offset += 1
        return offset

    def with_line_numbers(self) -> str:
        """The text with a line number before each line."""
        lines = self.split("\n")
        width = len(str(len(lines)))
        return "\n".join(f"{number:>{width}}: {line}" for number, line in enumerate(lines, 1))
