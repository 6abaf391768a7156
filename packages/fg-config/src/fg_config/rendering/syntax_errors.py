"""What Jinja2 says about a template it cannot parse, in terms of what its author wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import jinja2

from fg_config.errors import TemplateError
from fg_config.hints import nearest
from fg_config.nodes import Span
from fg_config.rendering.blanks import PAIRS, STATEMENTS
from fg_config.rendering.preprocess import preprocess
from fg_config.rendering.source import TemplateSource
from fg_config.rendering.strings import Hit, lines_in_strings

_STATEMENT: Final = re.compile(r"\{%[-+]?\s*(\w+)([^%]*)")
_ASSIGNMENT: Final = re.compile(r"\{%[-+]?\s*([\w.]+\s*=(?!=).*?)\s*[-+]?%\}")
_QUOTED: Final = re.compile(r"'([^']*)'")


def syntax_error(error: jinja2.TemplateSyntaxError, source: TemplateSource, filters: Iterable[str]) -> TemplateError:
    """The error that the author of `source` reads."""
    problem = error.message or "it cannot be parsed"
    if hit := _in_string(error.lineno, source):
        at = hit.line + source.first_line - 1
        span = Span(file=source.file, line=at, column=hit.column, label=source.label)
        return TemplateError(hit.message, code="FG0101", span=span, snippet=source.line_text(at), help=hit.help)
    lines = preprocess(source.text).split("\n")
    for message, line, help in _diagnoses(problem, error.lineno, lines, filters):
        return _error(message, line, help, source)
    read = lines[error.lineno - 1].strip() if error.lineno <= len(lines) else ""
    return _error(problem, error.lineno, f"Jinja2 reads this line as: {read}", source)


def _in_string(line: int, source: TemplateSource) -> Hit | None:
    """The shorthand that makes a statement of text in a string, on the line that Jinja2 cannot read."""
    hits = (hit for hit in lines_in_strings(source.lines) if hit.line == line)
    return next((hit for hit in hits if not hit.comment and not hit.is_meant), None)


def _error(message: str, line: int, help: str | None, source: TemplateSource) -> TemplateError:
    at = line + source.first_line - 1
    span = Span(file=source.file, line=at, label=source.label)
    text = f"template syntax: {message.rstrip('.')}"
    return TemplateError(text, code="FG0201", span=span, snippet=source.line_text(at), help=help)


def _diagnoses(
    problem: str, line: int, lines: list[str], filters: Iterable[str]
) -> Iterator[tuple[str, int, str | None]]:
    """Message, line and help; the first that fits is the best."""
    named = _QUOTED.search(problem)
    name = named[1] if named else ""
    if problem.startswith("Encountered unknown tag") and name in STATEMENTS:
        yield f"{name!r} closes or continues nothing that is open here", line, _innermost_help(lines[: line - 1])
    if problem.startswith("Encountered unknown tag") and (assignment := _ASSIGNMENT.search(lines[line - 1])):
        yield f"{assignment[1]!r} is no statement", line, f"write `-- set {assignment[1]}`"
    if problem.startswith("Encountered unknown tag"):
        help = nearest(name, STATEMENTS) or f"statements are: {', '.join(STATEMENTS)}"
        yield f"unknown statement {name!r}", line, help
    if problem.startswith("No filter named"):
        yield problem, line, nearest(name, filters, "filters") or "see the list of filters in the language reference"
    if problem.startswith("Unexpected end of template"):
        for word, opened in _open_statements(lines)[-1:]:
            yield f"{word!r} is never closed", opened, f"add `-- end{word}`"
    if "defined twice" in problem:
        first = next(
            (at for word, at, rest in _statements(lines) if word == "block" and rest.split()[:1] == [name]), line
        )
        yield problem, line, f"the first is on line {first}; a block stands once, `super()` repeats what a parent says"
    if problem.startswith("unexpected '}'") or problem == "unexpected '%'":
        yield problem, line, "an expression is written `{{ … }}`, a statement `{% … %}`"
    if problem.startswith("Expected an expression, got 'end of"):
        yield "the statement or expression is not complete", line, "nothing stands where a value is expected"
    if problem.startswith("expected token 'end of"):
        got = _QUOTED.findall(problem)[-1]
        yield f"{got!r} cannot follow here", line, "is an operator, a comma or a quotation mark missing before it?"


def _statements(lines: list[str]) -> Iterator[tuple[str, int, str]]:
    for number, line in enumerate(lines, 1):
        for found in _STATEMENT.finditer(line):
            yield found[1], number, found[2]


def _open_statements(lines: list[str]) -> list[tuple[str, int]]:
    """The statements that nothing has closed, outermost first, with their lines."""
    opened: list[tuple[str, int]] = []
    for word, number, rest in _statements(lines):
        if word in PAIRS and not (word == "set" and "=" in rest):
            opened.append((word, number))
        elif word.startswith("end") and opened and opened[-1][0] == word.removeprefix("end"):
            opened.pop()
    return opened


def _innermost_help(lines: list[str]) -> str:
    opened = _open_statements(lines)
    if not opened:
        return "nothing is open here; remove it, or write the statement it belongs to before it"
    word, number = opened[-1]
    return f"the innermost that is open is {word!r} of line {number}, which ends with `-- end{word}`"
