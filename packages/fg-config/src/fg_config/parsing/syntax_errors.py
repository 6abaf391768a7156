"""What a YAML parser says about a text, in terms of what its author can mend.

The parser reports where it noticed something; what is wrong is often where that began.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import yaml

from fg_config.errors import YamlError, source_line
from fg_config.hints import nearest
from fg_config.parsing.places import line_around, span_at
from fg_config.parsing.run_on_tags import RUN_ON_TAG, run_on_tag_error
from fg_config.rendering.blanks import blank_help, without_blank
from fg_config.rendering.joints import joint_before
from fg_config.rendering.sourcemap import RenderedText
from fg_config.rendering.strings import closing_quote, lines_in_strings, open_string

_ANCHOR: Final = re.compile(r"(?:^|[\s\[{,])&([^\s\[\]{},]+)")
_BLANK_IN_TAG: Final = re.compile(r"(?:^|[\s:&-])(!\w+:) +(\S+)")
_COLON: Final = re.compile(r":\s")
_LINE: Final = re.compile(r".*\n")
_NAME: Final = re.compile(r"[&*]([^\s\[\]{},]+)")
_CLOSING: Final = {"flow sequence": ("[", "]", "list"), "flow mapping": ("{", "}", "mapping")}


def syntax_error(error: yaml.MarkedYAMLError, text: str) -> YamlError:
    """The error that the author of the templates behind `text` reads."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return YamlError(f"YAML syntax: {error.problem or error.context}")
    if tag := RUN_ON_TAG.search(text, (error.context_mark or mark).index, mark.index + 1):
        return run_on_tag_error(tag, text)
    begin = _begun(error, mark, text)
    if cause := _string_cut_off(mark, text) or _glued(error, mark, text) or statement_without_blank(text, begin, mark):
        return cause
    for message, place, help in _diagnoses(error, mark, text):
        return YamlError(
            f"YAML syntax: {message}", span=span_at(place, text), snippet=line_around(place.index, text), help=help
        )
    problem = ": ".join(part for part in (error.context, error.problem) if part)
    return YamlError(
        f"YAML syntax: {problem}",
        span=span_at(mark, text),
        snippet=line_around(mark.index, text),
        help=_beginning(error, text),
    )


def _diagnoses(error: yaml.MarkedYAMLError, mark: Any, text: str) -> Iterator[tuple[str, Any, str | None]]:
    """Message, mark and help; the first that fits is the best."""
    context, problem = error.context or "", error.problem or ""
    begin = error.context_mark or mark
    if "duplicate anchor" in f"{context} {problem}":
        help = f"the first is at {span_at(begin, text)}; override the block that holds it instead of anchoring again"
        yield f"the anchor {_name_at(mark, text)!r} is defined twice", mark, help
    if "undefined alias" in problem:
        near = nearest(_name_at(mark, text), _ANCHOR.findall(text[: mark.index]), "anchors")
        help = near or "the anchor must stand before the alias; was its block overridden without it?"
        yield f"no anchor {_name_at(mark, text)!r} stands before this alias", mark, help
    if "simple key" in context:
        yield "this line has no `key: value`", begin, "put a colon and a blank behind the key, or quote the text"
    if "quoted scalar" in context:
        yield "the quotation mark is never closed", begin, f"close it; noticed at {span_at(mark, text)}"
    before = text[text.rfind("\n", 0, mark.index) + 1 : mark.index + 1]
    if "\t" in before and not before.strip():
        yield "a tab indents this line", mark, "indent with blanks"
    if "cannot start any token" in problem:
        yield f"{text[mark.index : mark.index + 1]!r} cannot begin a value", mark, "put the value in quotes"
    if "mapping values are not allowed" in problem:
        yield _second_value(mark, text)
    yield from _unclosed(context, begin, mark, text)
    if "block mapping" in context or "block collection" in context or "block sequence" in context:
        what = "list" if "sequence" in context or "collection" in context else "mapping"
        help = f"it begins at {span_at(begin, text)}; all its entries stand at the same indentation"
        yield f"this line does not continue the {what} it stands in", mark, help
    if "expected a single document" in context:
        yield "a second document begins here", mark, "a config is one document: remove the line `---`"


def _second_value(mark: Any, text: str) -> tuple[str, Any, str]:
    """A colon behind what is a value already: of the same line, or of the line above that this one goes on with."""
    start = text.rfind("\n", 0, mark.index) + 1
    if _COLON.search(text, start, mark.index):
        return "a second `: ` in one line", mark, "quote text that holds a colon and a blank"
    indent = _indent(text[start : mark.index])
    above = [found for found in _LINE.finditer(text, 0, start) if found[0].strip() and _indent(found[0]) < indent]
    if not above:
        return "a second `: ` in one line", mark, "quote text that holds a colon and a blank"
    if tag := _BLANK_IN_TAG.search(text, above[-1].start(), above[-1].end()):
        message = f"a blank stands behind the colon of {tag[1]}"
        return message, _mark_at(tag.start(1), text), f"write `{tag[1]}{tag[2]}`"
    message = "this line is indented deeper than the one above, which has a value already"
    return message, mark, f"indent it like `{above[-1][0].strip()}`, or take the value away there"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _mark_at(index: int, text: str) -> yaml.Mark:
    return yaml.Mark("", index, text.count("\n", 0, index), index - text.rfind("\n", 0, index) - 1, None, 0)


def _begun(error: yaml.MarkedYAMLError, mark: Any, text: str) -> int:
    """Where the line begins in which the trouble did: that of a key without colon, else the one above `mark`."""
    if error.context_mark is not None and "simple key" in (error.context or ""):
        return text.rfind("\n", 0, error.context_mark.index) + 1
    above = text[: text.rfind("\n", 0, mark.index) + 1].rstrip()
    return above.rfind("\n") + 1


def statement_without_blank(text: str, begin: int = 0, mark: Any = None) -> YamlError | None:
    """The error of a line from `begin` to `mark` (default: the first line) that was meant to be a statement."""
    end = text.find("\n", mark.index) if mark else text.find("\n", begin)
    for line in _LINE.finditer(f"{text}\n", begin, len(text) + 1 if end < 0 else end + 1):
        if statement := without_blank(line[0]):
            at = line.start() + _indent(line[0])
            message = f"this line is text, not the statement `{statement}`"
            place = span_at(_mark_at(at, text), text)
            return YamlError(message, code="FG0108", span=place, snippet=line[0], help=blank_help(statement))
    return None


def _string_cut_off(mark: Any, text: str) -> YamlError | None:
    """The error of a string that lost its end to a `##`, when `mark` is in what it swallowed or right behind that."""
    if not isinstance(text, RenderedText):
        return None
    for line in reversed(list(_LINE.finditer(f"{text}\n", 0, mark.index + 1))):
        begin = line.start() + open_string(line[0])
        if begin < line.start():
            continue
        span = text.span(begin)
        written = source_line(span)
        hit = next((each for each in lines_in_strings([written]) if each.comment), None)
        if hit is None or open_string(written) >= 0:
            continue
        close = closing_quote(text, text[begin], begin + 1)
        if close < 0 or not text[close + 1 : mark.index].strip():
            return YamlError(hit.message, code="FG0102", span=replace(span, column=hit.column), help=hit.help)
    return None


def _unclosed(context: str, begin: Any, mark: Any, text: str) -> Iterator[tuple[str, Any, str]]:
    for kind, (opening, closing, what) in _CLOSING.items():
        if kind not in context:
            continue
        if begin.line == mark.line:
            yield f"expected ',' or {closing!r}", mark, f"the entries of a {what} are separated by commas"
        else:
            place = f"{span_at(mark, text)}: {line_around(mark.index, text).strip()}"
            yield f"{opening!r} is never closed", begin, f"add {closing!r}; noticed at {place}"


def _name_at(mark: Any, text: str) -> str:
    found = _NAME.match(text, mark.index) or _NAME.search(line_around(mark.index, text))
    return found[1] if found else ""


def _glued(error: yaml.MarkedYAMLError, mark: Any, text: str) -> YamlError | None:
    """The error of a line that came to stand at the end of another one. An open quotation mark is another mistake."""
    if not isinstance(text, RenderedText) or "quoted scalar" in (error.context or ""):
        return None
    joint = joint_before(text, mark.index, source_line)
    return YamlError(joint.message, code="FG0106", span=joint.span, help=joint.help) if joint else None


def _beginning(error: yaml.MarkedYAMLError, text: str) -> str | None:
    begin, noticed = error.context_mark, error.problem_mark
    if begin is None or noticed is None or begin.line == noticed.line:
        return "compare with the output of `forgather pp`"
    what = (error.context or "").removeprefix("while parsing ").removeprefix("while scanning ")
    return f"{what} begins at {span_at(begin, text)}: {line_around(begin.index, text).strip()}"
