"""Where each piece of rendered text came from.

While a template is compiled, two private-use characters are put before the text and the expressions of every line:
one names the template, one the line. They travel through blocks, `super()` and filters, and are taken out again
after rendering; what remains is a map from offsets in the text to template lines. Working on Jinja's syntax tree
rather than on the text keeps whitespace control, raw blocks and tags that span lines out of it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jinja2 import nodes

from fg_config.nodes import Span

# Supplementary private use areas A and B: one character for the template, one for the line.
_TEMPLATE_BASE: Final = 0xF0000
_LINE_BASE: Final = 0x100000
PLANE_SIZE: Final = 0xFFFD
MARK: Final = re.compile("([\U000f0000-\U000ffffd])([\U00100000-\U0010fffd])")
UNMARKED_FILTER: Final = "_unmarked"
_LINE_START: Final = re.compile(r"(?P<blank>[^\S\n]*)(?=\S)")


def marker(template: int, line: int) -> str:
    """The mark for a line of a template; lines beyond the plane share its last character."""
    return chr(_TEMPLATE_BASE + template % PLANE_SIZE) + chr(_LINE_BASE + min(line, PLANE_SIZE))


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
    """The characters `begin:end` of the unmarked text, with the marks among them and the last one before them."""
    pieces: list[str] = []
    leading = ""
    offset = 0
    for index, piece in enumerate(re.split(f"({MARK.pattern.replace('(', '').replace(')', '')})", text)):
        if index % 2:
            leading = piece
            continue
        inside = piece[max(begin - offset, 0) : max(end - offset, 0)]
        if inside:
            pieces += [leading, inside]
            leading = ""
        offset += len(piece)
    return "".join(pieces)


# --- putting marks in ---------------------------------------------------------------------------------------------


def mark_template(template: nodes.Template, mark: Callable[[int], str]) -> None:
    """Put `mark(line)` into the output of `template`, in place.

    Macros, `call` blocks and `set` blocks stay clean: their text is a value that a template may compare or measure.
    (Measuring what an expression such as `super()` returns would count its marks.)
    """
    for block in template.find_all(nodes.AssignBlock):
        _clean_captured(block)
    _mark_children(template, mark)


def _clean_captured(block: nodes.AssignBlock) -> None:
    """Take marks out of what a `set` block captures from an include."""
    clean = nodes.Filter(None, UNMARKED_FILTER, [], [], None, None, lineno=block.lineno)
    if block.filter is None:
        block.filter = clean
        return
    innermost = block.filter
    while isinstance(innermost.node, nodes.Filter):
        innermost = innermost.node
    innermost.node = clean


def _mark_children(node: nodes.Node, mark: Callable[[int], str]) -> None:
    for child in node.iter_child_nodes():
        if isinstance(child, (nodes.Macro, nodes.CallBlock, nodes.AssignBlock)):
            continue
        if isinstance(child, nodes.Output):
            child.nodes = _marked_output(child.nodes, mark)
        else:
            _mark_children(child, mark)


def _marked_output(items: list[nodes.Expr], mark: Callable[[int], str]) -> list[nodes.Expr]:
    result: list[nodes.Expr] = []
    for item in items:
        if isinstance(item, nodes.TemplateData):
            result.append(nodes.TemplateData(_marked_data(item.data, item.lineno, mark), lineno=item.lineno))
            continue
        if not (isinstance(item, nodes.Const) and not str(item.value).strip()):
            result.append(nodes.TemplateData(mark(item.lineno), lineno=item.lineno))
        result.append(item)
    return result


def _marked_data(data: str, line: int, mark: Callable[[int], str]) -> str:
    """Marks stand behind the indentation, where stripping whitespace does not meet them."""
    lines = data.split("\n")
    return "\n".join(
        _LINE_START.sub(lambda found, at=line + index: found["blank"] + mark(at), text, count=1)
        for index, text in enumerate(lines)
    )


# --- reading them back --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceMap:
    """Offsets in a rendered text → spans. `describe(template, line)` makes the span."""

    offsets: list[int]
    places: list[tuple[int, int]]
    line_starts: list[int]
    describe: Callable[[int, int], Span]

    def span(self, line: int, column: int = 0) -> Span | None:
        """The template line behind a place in the rendered text (both from 0): the nearest mark before it."""
        if not self.offsets or line >= len(self.line_starts):
            line, column = min(line, len(self.line_starts) - 1), 0
        index = bisect_right(self.offsets, self.line_starts[line] + column) - 1
        if index < 0:
            return self.describe(*self.places[0]) if self.places else None
        return self.describe(*self.places[index])

    def spans_in(self, line: int) -> list[Span]:
        """Every template line that a rendered line (from 0) was made from, in the order of the text."""
        end = self.line_starts[line + 1] if line + 1 < len(self.line_starts) else None
        first = bisect_left(self.offsets, self.line_starts[line])
        last = len(self.offsets) if end is None else bisect_left(self.offsets, end)
        return [self.describe(*place) for place in self.places[first:last]]


def extract(marked: str, describe: Callable[[int, int], Span]) -> tuple[str, SourceMap]:
    """Take the marks out of a rendered text."""
    offsets: list[int] = []
    places: list[tuple[int, int]] = []
    for count, found in enumerate(MARK.finditer(marked)):
        offsets.append(found.start() - 2 * count)
        places.append((ord(found[1]) - _TEMPLATE_BASE, ord(found[2]) - _LINE_BASE))
    text = unmarked(marked)
    line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
    return text, SourceMap(offsets, places, line_starts, describe)


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
