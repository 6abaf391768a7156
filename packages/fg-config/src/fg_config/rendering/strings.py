"""Where the shorthand strikes inside the strings of a template: quoted, over several lines, or as block scalars."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fg_config.rendering.preprocess import HEADER, OPERATOR

_COMMENT: Final = re.compile(r"(?:^|\s)#{2,}(?!.*\s#{2,})")
_BLOCK_SCALAR: Final = re.compile(r"(\s*)(?:- +)*(?:[^#'\"]*?:\s+)?(?:[!&]\S+\s+)*[|>][-+\d]*\s*(?:#.*)?")
_KNOWN: Final = re.compile(
    r"(if|elif|else|endif|for|endfor|set|endset|block|endblock|include|import|from|extends|macro|endmacro|call|endcall"
    r"|filter|endfilter|with|endwith|raw|endraw|autoescape|endautoescape)\b"
)
_EXPRESSION: Final = re.compile(r"[\w.]+\(.*\)")
_QUOTE_BEGINS: Final = re.compile(r"(?:^|[:\-,]\s|[\[{]\s*|![\w:.@]+\s)\s*(['\"])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A line (from 1) that the shorthand changes although it lies in a string."""

    line: int
    column: int
    kind: str
    comment: bool = False
    operator: str = ""
    rest: str = ""

    @property
    def is_meant(self) -> bool:
        """Whether the rest of the line is a statement of Jinja2, or an expression that calls something."""
        return bool((_EXPRESSION if self.operator in ("==", "=>") else _KNOWN).match(self.rest.strip()))

    @property
    def message(self) -> str:
        """What happens to the line."""
        if self.comment:
            return f"`##` inside {self.kind} cuts off the rest of the line"
        return f"`{self.operator} ` inside {self.kind} makes the line template code"

    @property
    def help(self) -> str:
        """How the text is written so that it stays."""
        if self.comment:
            return "build the text with an expression: {{ '##' }}"
        return f"to mean the text, write {{{{ '{self.operator} ' }}}} for it"


def lines_in_strings(lines: Sequence[str]) -> Iterator[Hit]:
    """Every hit in the lines of one template."""
    scalar_indent: int | None = None
    quote = ""
    for number, line in enumerate(lines, 1):
        if scalar_indent is not None:
            if _is_inside(line, scalar_indent):
                yield from _hits(line, number, "a block scalar")
                continue
            scalar_indent = None
        if HEADER.fullmatch(line):
            quote = ""
        if not line.strip() or HEADER.fullmatch(line):
            continue
        if not quote and (line.lstrip().startswith("#") or OPERATOR.fullmatch(line)):
            continue
        yield from _quoted_hits(line, number, quote)
        quote = _open_quote(line, quote)
        if quote and not _closes_below(lines[number:], quote):
            quote = ""  # an apostrophe, not a string
        if not quote and (begin := _BLOCK_SCALAR.fullmatch(line)):
            scalar_indent = len(begin[1])


def _closes_below(lines: Sequence[str], quote: str) -> bool:
    """Whether a string that is open behind a line ends before the next header."""
    below = itertools.takewhile(lambda line: not HEADER.fullmatch(line), lines)
    return any(quote in line for line in below)


def _is_inside(line: str, indent: int) -> bool:
    return not line.strip() or len(line) - len(line.lstrip()) > indent


def _hits(line: str, number: int, kind: str) -> Iterator[Hit]:
    comment = _COMMENT.search(line)
    if comment and "check:" not in line[comment.end() :]:
        yield Hit(line=number, column=line.index("#", comment.start()) + 1, kind=kind, comment=True)
    if operator := OPERATOR.fullmatch(line):
        column = len(line) - len(line.lstrip()) + 1
        yield Hit(line=number, column=column, kind=kind, operator=operator[1], rest=operator[2])


def _quoted_hits(line: str, number: int, quote: str) -> Iterator[Hit]:
    if quote:
        end = line.find(quote)
        inside = line if end < 0 else line[: end + 1]
        operator = OPERATOR.fullmatch(line)
        if operator:
            column = len(line) - len(line.lstrip()) + 1
            yield Hit(line=number, column=column, kind="a quoted string", operator=operator[1], rest=operator[2])
        yield from _comment_between(inside, number, [(0, len(inside))])
    else:
        yield from _comment_between(line, number, list(_strings(line)))


def _comment_between(line: str, number: int, strings: list[tuple[int, int]]) -> Iterator[Hit]:
    """The comment that the line pass cuts off is the last one on the line."""
    comment = _COMMENT.search(line)
    if comment and any(begin <= comment.start() < end for begin, end in strings):
        column = line.index("#", comment.start()) + 1
        yield Hit(line=number, column=column, kind="a quoted string", comment=True)


def _strings(line: str) -> Iterator[tuple[int, int]]:
    """Begin and end of the quoted strings of a line; one that does not end here ends with the line."""
    position = 0
    while (begin := _QUOTE_BEGINS.search(line, position)) is not None:
        end = closing_quote(line, begin[1], begin.end())
        yield begin.end() - 1, len(line) if end < 0 else end + 1
        if end < 0:
            return
        position = end + 1


def open_string(line: str, position: int = 0) -> int:
    """Where (from 0, behind `position`) the quoted string begins that is open at the end of a line, -1 for none."""
    while (begin := _QUOTE_BEGINS.search(line, position)) is not None:
        end = closing_quote(line, begin[1], begin.end())
        if end < 0:
            return begin.end() - 1
        position = end + 1
    return -1


def closing_quote(text: str, quote: str, position: int) -> int:
    """Where a string ends that began before `position`, -1 when not in this text."""
    while position < len(text):
        if quote == '"' and text[position] == "\\":
            position += 2
        elif text[position] != quote:
            position += 1
        elif quote == "'" and text[position + 1 : position + 2] == "'":
            position += 2
        else:
            return position
    return -1


def _open_quote(line: str, quote: str) -> str:
    """The quote that is still open at the end of the line."""
    position = 0
    if quote:
        end = closing_quote(line, quote, 0)
        if end < 0:
            return quote
        position = end + 1
    begin = open_string(line, position)
    return "" if begin < 0 else line[begin]
