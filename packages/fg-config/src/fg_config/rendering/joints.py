"""Where a rendered line goes on with what begins another line of a template, and what ate the line break.

A statement eats the line break behind it. That is no loss, unless what it wrote ends without one of its own.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from fg_config.nodes import Span
from fg_config.rendering.preprocess import HEADER
from fg_config.rendering.sourcemap import RenderedText

_INCLUDE: Final = re.compile(r"(?:--|<<|>>|\{%[-+]?)\s*include\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """A template line that is glued to the text `before`. `above` is the line above it, as it was written."""

    span: Span
    before: str
    above: str

    @property
    def message(self) -> str:
        """What happened."""
        return f"this line is glued to the end of the one before it: {self.before.strip()!r:.60}"

    @property
    def help(self) -> str:
        """What ate the line break, and where a blank line helps."""
        return f"leave a blank line above it: {self._cause}"

    @property
    def _cause(self) -> str:
        if HEADER.fullmatch(self.above):
            return (
                f"the block that ends at {self.above.strip()} has a `!` in its header, which takes its last line break"
            )
        if _INCLUDE.match(self.above):
            return "an included template ends without a line break, and the statement eats the one behind it"
        if self.above.startswith(("<<", "{%-")):
            return "this statement eats the line breaks on both sides"
        return "a statement eats the line break behind it"


def joints(
    text: RenderedText, line_text: Callable[[Span], str], start: int = 0, end: int | None = None
) -> Iterator[Joint]:
    """The joints of a rendered text between two offsets; `line_text` tells what stands at a place in a file."""
    source_map = text.source_map
    if source_map is None:
        return
    first = bisect_left(source_map.offsets, start)
    last = len(source_map.offsets) if end is None else bisect_right(source_map.offsets, end)
    for index in range(max(first, 1), last):
        offset = source_map.offsets[index]
        before, rest = text[text.rfind("\n", 0, offset) + 1 : offset], text[offset:].partition("\n")[0]
        if before.strip() and rest.strip() and source_map.places[index] != source_map.places[index - 1]:
            span = replace(text.span(offset), column=0)
            above = line_text(Span(file=span.file, line=span.line - 1, label=span.label)).strip()
            if _starts_with(line_text(span), rest) and _ends_a_line(above):
                yield Joint(span=span, before=before, above=above)


def joint_before(text: RenderedText, offset: int, line_text: Callable[[Span], str]) -> Joint | None:
    """The last joint of the line that `offset` stands in, up to there."""
    found = [*joints(text, line_text, text.rfind("\n", 0, offset) + 1, offset)]
    return found[-1] if found else None


def _starts_with(written: str, rendered: str) -> bool:
    """Whether `rendered` is the beginning of the line as it was written, up to its first expression or comment."""
    literal = re.split(r"\{[{%#]|\s##", written.strip(), maxsplit=1)[0].strip()
    return bool(literal) and rendered.strip().startswith(literal)


def _ends_a_line(above: str) -> bool:
    """Whether the line above ended the statement or block that the text stood in.

    A first line belongs where it is included; behind a tag that ends a line of text, the text goes on.
    """
    if above.startswith(("--", "<<", ">>")) or HEADER.fullmatch(above):
        return True
    return above.startswith("{%") and above.endswith("%}")
