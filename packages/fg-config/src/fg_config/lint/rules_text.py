"""FG01: text that the shorthand takes for something else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from fg_config.lint.context import ConfigContext, source_span
from fg_config.lint.findings import Finding
from fg_config.lint.suppressions import SUPPRESSION, words_of
from fg_config.rendering.preprocess import HEADER
from fg_config.rendering.source import MARKER, TemplateSource
from fg_config.rendering.strings import lines_in_strings

_STATEMENT: Final = re.compile(
    r"(if|elif|else|endif|for|endfor|set|endset|block|endblock|include|import|from|extends|macro|endmacro|call|endcall"
    r"|filter|endfilter|with|endwith|raw|endraw|autoescape|endautoescape)\b"
)
_EXPRESSION: Final = re.compile(r"[\w.]+\(.*\)")


def shorthand_in_strings(context: ConfigContext, source: TemplateSource) -> Iterator[Finding]:
    """Operators and comments inside quoted strings and block scalars."""
    for hit in lines_in_strings(source.lines):
        if hit.comment or not _is_meant(hit.operator, hit.rest):
            code = "FG0102" if hit.comment else "FG0101"
            yield context.found(code, hit.message, source_span(source, hit.line, hit.column), hit.help)


def _is_meant(operator: str, rest: str) -> bool:
    """Whether the rest of the line is a statement of Jinja2, or an expression that calls something."""
    return bool((_EXPRESSION if operator in ("==", "=>") else _STATEMENT).match(rest.strip()))


def list_as_header(context: ConfigContext, source: TemplateSource) -> Iterator[Finding]:
    """`[word]` alone on its line where a value is expected: behind a key that stays empty otherwise, or in a list."""
    for index, line in enumerate(source.lines):
        header = HEADER.fullmatch(line)
        if header is None or _is_block_elsewhere(context, source, header[2]):
            continue
        before, after = _neighbours(source.lines, index)
        if before.rstrip().endswith((",", "[", "{")) or _fills_nothing(before, header[1], after):
            span = source_span(source, index + 1, len(header[1]) + 1)
            message = f"[{header[2]}] alone on its line is the header of a block, not a list"
            yield context.found("FG0103", message, span, "put the list behind its key, or write `- " + header[2] + "`")


def _is_block_elsewhere(context: ConfigContext, source: TemplateSource, name: str) -> bool:
    others = (template for template in context.templates if template.source != source)
    return any(name in template.facts.block_names for template in others)


def _neighbours(lines: list[str], index: int) -> tuple[str, str]:
    """The next line with text before and behind."""
    before = next((line for line in reversed(lines[:index]) if line.strip()), "")
    after = next((line for line in lines[index + 1 :] if line.strip() and not line.lstrip().startswith("#")), "")
    return before, after


def _fills_nothing(before: str, indent: str, after: str) -> bool:
    """Whether a key stands above that is less indented, and nothing below is indented deeper than the key."""
    key_indent = len(before) - len(before.lstrip())
    if not re.fullmatch(r"\s*(- )?[\w.'\"-]+:\s*", before) or len(indent) <= key_indent:
        return False
    return not after or len(after) - len(after.lstrip()) <= key_indent


# --- sub-template markers -----------------------------------------------------------------------------------------


def doubtful_markers(context: ConfigContext, text: str, file: str, used: frozenset[str]) -> Iterator[Finding]:
    """Banners that split a file, and markers over several lines. `used` are the labels that somebody asks for."""
    for marker in MARKER.finditer(text):
        line = text.count("\n", 0, marker.start()) + 2
        span = source_span(TemplateSource(name=file, text=text, file=file), line)
        if "\n" in marker[1]:
            words = " ".join(marker[1].split())
            yield context.found("FG0105", f"these lines read as the marker of a sub-template: {words}", span,
                                "put a blank line or a word between them, or write the marker on one line")  # fmt: skip
        elif marker["name"] not in used and marker[2] and not re.search(r"[./]", marker["name"]):
            message = f"this banner begins the sub-template {marker['name']!r}, which nothing includes"
            yield context.found("FG0104", message, span, "write it with `##`, or with less than three dashes")


# --- glued lines --------------------------------------------------------------------------------------------------


def glued_lines(context: ConfigContext) -> Iterator[Finding]:
    """A rendered line that goes on with what begins another line of a template."""
    if context.text is None or context.text.source_map is None:
        return
    for before, number, line in _joints(context):
        template = context.render.loaded[number]
        span = context.render.span(number, line)
        message = f"this line is glued to the end of the one before it: {before.strip()!r:.60}"
        if _begins_a_line(template.source, line):
            yield context.found("FG0106", message, span, "leave a blank line above it: a statement eats the line break")


def _joints(context: ConfigContext) -> Iterator[tuple[str, int, int]]:
    """Text of a rendered line, and the template line that it goes on with."""
    text = context.text
    assert text is not None and text.source_map is not None
    source_map = text.source_map
    previous: tuple[int, int] | None = None
    for offset, place in zip(source_map.offsets, source_map.places, strict=True):
        begin = text.rfind("\n", 0, offset) + 1
        before, rest = text[begin:offset], text[offset:].partition("\n")[0]
        if before.strip() and previous is not None and place != previous and rest.strip():
            template = context.render.loaded.get(place[0])
            if template is not None and _starts_with(template.source.line_text(place[1]), rest):
                yield before, *place
        previous = place


def _starts_with(written: str, rendered: str) -> bool:
    """Whether `rendered` is the beginning of the line as it was written, up to its first expression."""
    literal = re.split(r"\{[{%#]", written.strip(), maxsplit=1)[0].strip()
    return bool(literal) and rendered.strip().startswith(literal)


def _begins_a_line(source: TemplateSource, line: int) -> bool:
    """Whether the line before, as it was written, ended the statement or block that the text stood in.

    A first line belongs where it is included; behind a tag that ends a line of text, the text goes on.
    """
    index = line - source.first_line
    above = source.lines[index - 1].strip() if index > 0 else ""
    if above.startswith(("--", "<<", ">>")) or HEADER.fullmatch(above):
        return True
    return above.startswith("{%") and above.endswith("%}")


# --- suppressions -------------------------------------------------------------------------------------------------


def doubtful_suppressions(context: ConfigContext, source: TemplateSource) -> Iterator[Finding]:
    """`## check: …` that says nothing that can be done."""
    for index, line in enumerate(source.lines):
        if (found := SUPPRESSION.search(line)) is None:
            continue
        codes, others = words_of(found[1])
        span = source_span(source, index + 1, found.start() + 1)
        unknown = [word for word in others[:1] if re.fullmatch(r"FG\d*,?", word)]
        if not codes or unknown:
            message = f"this suppresses nothing: {found[0].strip()}"
            yield context.found("FG0107", message, span, "write `## check: ignore FG0320 reason`")
