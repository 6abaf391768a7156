"""Marks: private-use characters in rendered text that say which template line the text behind them came from.

A mark has three characters: the template, the line, and the column (0: the text was made by an expression). Two
columns are none: they tell where the text of an `include` begins and ends. Marks travel through blocks, `super()` and
filters, and are taken out again after rendering.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_TEMPLATE_BASE: Final = 0xF0000  # supplementary private use area A
_LINE_BASE: Final = 0x100000  # supplementary private use area B
_COLUMN_BASE: Final = 0xE000  # the private use area of the basic plane
LAST_LINE: Final = 0xFFFD
LAST_COLUMN: Final = 0x18FD
TEMPLATES: Final = 0xFFFD
_ENTER: Final = 0x18FE
_LEAVE: Final = 0x18FF
MARK: Final = re.compile("[\U000f0000-\U000ffffd][\U00100000-\U0010fffd][\ue000-\uf8ff]")
_MARKS: Final = re.compile(f"({MARK.pattern})")


class Mark(NamedTuple):
    """A mark that was read back. `column` counts from 1."""

    template: int
    line: int
    column: int

    @property
    def enters(self) -> bool:
        """Whether the text of an include begins here."""
        return self.column == _ENTER

    @property
    def leaves(self) -> bool:
        """Whether the text of an include ends here."""
        return self.column == _LEAVE


def template_character(template: int) -> str:
    """The character that stands for a template in its marks."""
    return chr(_TEMPLATE_BASE + template)


def template_number(character: str) -> int:
    """The inverse of `template_character`."""
    return ord(character) - _TEMPLATE_BASE


def marker(template: int, line: int, column: int = 0) -> str:
    """The mark for a place. Lines beyond the plane share its last character; columns beyond theirs are unknown."""
    known = column if column <= LAST_COLUMN else 0
    return template_character(template) + chr(_LINE_BASE + min(line, LAST_LINE)) + chr(_COLUMN_BASE + known)


def entrance(template: int, line: int) -> str:
    """The mark before the text of an include."""
    return marker(template, line)[:2] + chr(_COLUMN_BASE + _ENTER)


def departure(template: int, line: int) -> str:
    """The mark behind the text of an include."""
    return marker(template, line)[:2] + chr(_COLUMN_BASE + _LEAVE)


def read_marks(text: str) -> Iterator[tuple[int, Mark]]:
    """Every mark, with its offset in the unmarked text."""
    for count, found in enumerate(MARK.finditer(text)):
        template, line, column = map(ord, found[0])
        yield found.start() - 3 * count, Mark(template - _TEMPLATE_BASE, line - _LINE_BASE, column - _COLUMN_BASE)


def unmarked(text: str) -> str:
    """`text` without marks."""
    return MARK.sub("", text)


def trim_marked(text: str, characters: str | None = None) -> str:
    """`str.strip` that sees through marks; the mark next to the remaining text stays."""
    plain = unmarked(text)
    kept = plain.strip(characters)
    if not kept:
        return ""
    begin = len(plain) - len(plain.lstrip(characters))
    return _cut(text, begin, begin + len(kept))


def _cut(text: str, begin: int, end: int) -> str:
    """The characters `begin:end` of the unmarked text, with the marks among them and the last one before them.

    The bounds of includes stay all: each closes another.
    """
    pieces: list[str] = []
    leading = ""
    offset = 0
    for index, piece in enumerate(_MARKS.split(text)):
        if index % 2:
            if ord(piece[2]) - _COLUMN_BASE > LAST_COLUMN:
                pieces.append(piece)
            else:
                leading = piece
            continue
        inside = piece[max(begin - offset, 0) : max(end - offset, 0)]
        if inside:
            pieces += [leading, inside]
            leading = ""
        offset += len(piece)
    return "".join(pieces)
