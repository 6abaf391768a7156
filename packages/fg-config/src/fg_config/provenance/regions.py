"""Which part of a template line wrote a value, and the expressions in it."""

from __future__ import annotations

import re
from typing import Any, Final

import jinja2

from fg_config.nodes import Span
from fg_config.rendering.facts import ExpressionFact, facts_of
from fg_config.rendering.preprocess import preprocess
from fg_config.rendering.render import CompiledTemplate

_TOKEN: Final = re.compile(r"\{\{.*?\}\}|'(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"|[\[\]{},]|\s#.*|.", re.DOTALL)
_BLOCK_SCALAR: Final = re.compile(r"(?:[&!]\S*\s+)*[|>][-+\d]*\s*(?:#.*)?$")
_HEAD: Final = re.compile(r"\s*(?:- +)*(?:&\S+ +)?(?:!(?:\{\{.*?\}\}|\S)+|\{[{%].*)")
_parser: Final = jinja2.Environment()


def expressions_behind(
    template: CompiledTemplate, span: Span, key: Any, *, is_scalar: bool
) -> tuple[ExpressionFact, ...]:
    """The expressions that the value of `key` at `span` was computed from, as far as its lines can tell.

    For a node or container these are the ones in its tag, or the one that wrote all of it: what it holds has origins
    of its own. A value whose key cannot be found on the line (it is an item of a list, or the line is an expression)
    is taken to be the whole line.
    """
    line = span.line - template.source.first_line + 1
    text = preprocess(template.source.line_text(span.line))
    region = _region(text, span, key)
    if not is_scalar:
        region = _head(region)
    if _BLOCK_SCALAR.match(region.strip()):
        region += _deeper_lines(template, span.line)
    if "{{" not in region and "{%" not in region:
        return ()
    try:
        return facts_of(_parser.parse(region)).expressions
    except jinja2.TemplateSyntaxError:  # a tag that spans lines: all expressions of the line
        return tuple(fact for fact in template.facts.expressions if fact.line == line)


def _region(text: str, span: Span, key: Any) -> str:
    starts = [
        found.end() for found in re.finditer(rf"(?:^|[\s{{,\[])(['\"]?){re.escape(str(key))}\1\s*:(?=\s|$)", text)
    ]
    if span.column and text[span.column - 1 :].strip():
        return _value_from(text, span.column - 1)
    return _value_from(text, starts[0]) if len(starts) == 1 else text


def _head(region: str) -> str:
    found = _HEAD.match(region)
    return found[0] if found else ""


def _value_from(text: str, start: int) -> str:
    """From `start` to the end of the value: in a flow collection to its comma or bracket, else to the end of line."""
    depth = sum(_step(token[0]) for token in _TOKEN.finditer(text[:start]))
    inner = 0
    for token in _TOKEN.finditer(text, start):
        inner += _step(token[0])
        if depth > 0 and (inner < 0 or (inner == 0 and token[0] == ",")):
            return text[start : token.start()]
        if token[0].lstrip().startswith("#"):
            return text[start : token.start()]
    return text[start:]


def _step(token: str) -> int:
    return (token in ("[", "{")) - (token in ("]", "}"))


def _deeper_lines(template: CompiledTemplate, line: int) -> str:
    """The lines of a block scalar that begins on `line`: those below it that are indented deeper, and blank ones."""
    lines = template.source.lines[line - template.source.first_line :]
    indent = _indent(lines[0])
    taken: list[str] = []
    for text in lines[1:]:
        if text.strip() and _indent(text) <= indent:
            break
        taken.append(text)
    return "\n" + "\n".join(taken)


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())
