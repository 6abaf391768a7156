"""FG01: text that the shorthand takes for something else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fg_config.lint.context import ConfigContext, source_span
from fg_config.lint.findings import Finding
from fg_config.lint.suppressions import SUPPRESSION, words_of
from fg_config.rendering.joints import joints
from fg_config.rendering.preprocess import HEADER
from fg_config.rendering.source import MARKER, TemplateSource
from fg_config.rendering.strings import lines_in_strings


def shorthand_in_strings(context: ConfigContext, source: TemplateSource) -> Iterator[Finding]:
    """Operators and comments inside quoted strings and block scalars."""
    for hit in lines_in_strings(source.lines):
        if hit.comment or not hit.is_meant:
            code = "FG0102" if hit.comment else "FG0101"
            yield context.found(code, hit.message, source_span(source, hit.line, hit.column), hit.help)


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
    assert context.text is not None
    for joint in joints(context.text, context.line_text):
        yield context.found("FG0106", joint.message, joint.span, joint.help)


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
