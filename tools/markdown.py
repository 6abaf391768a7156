"""The little of Markdown that the checks and the documentation builder need: fences, headings, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"^(?P<indent> *)(?P<marker>`{3,}|~{3,})(?P<info>[^`]*)$")
_LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\((?P<target>[^()\s]+)(?:\s+\"[^\"]*\")?\)")
_CODE_SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeBlock:
    """A fenced block; `line` is that of the opening fence, counted from 1."""

    info: str
    text: str
    line: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """An inline link or image."""

    target: str
    line: int


def code_blocks(text: str) -> Iterator[CodeBlock]:
    """Fenced blocks in order; one that is never closed ends with the text."""
    opening: re.Match[str] | None = None
    start, body = 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        match = _FENCE.match(line)
        if opening is None:
            opening, start, body = match, number, list[str]()
        elif match and match["marker"].startswith(opening["marker"]) and not match["info"].strip():
            yield CodeBlock(info=opening["info"].strip(), text="\n".join(body) + "\n", line=start)
            opening = None
        else:
            body.append(line.removeprefix(opening["indent"]))
    if opening is not None:
        yield CodeBlock(info=opening["info"].strip(), text="\n".join(body) + "\n", line=start)


def prose_lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines outside fenced blocks."""
    opening = ""
    for number, line in enumerate(text.splitlines(), 1):
        match = _FENCE.match(line)
        if not opening and match:
            opening = match["marker"]
        elif opening and match and match["marker"].startswith(opening) and not match["info"].strip():
            opening = ""
        elif not opening:
            yield number, line


def links(text: str) -> Iterator[Link]:
    """Inline links and images outside code."""
    for number, line in prose_lines(text):
        for match in _LINK.finditer(_CODE_SPAN.sub("", line)):
            yield Link(target=match["target"], line=number)


def anchors(text: str) -> set[str]:
    """The fragment of every heading, as code forges derive it."""
    found, result = dict[str, int](), set[str]()
    for _, line in prose_lines(text):
        match = re.match(r"#{1,6}\s+(.+?)\s*#*$", line)
        if match is None:
            continue
        slug = re.sub(r"[^\w\- ]", "", match[1].lower()).replace(" ", "-")
        repeated = found.get(slug, 0)
        found[slug] = repeated + 1
        result.add(f"{slug}-{repeated}" if repeated else slug)
    return result


def section(text: str, heading: str) -> list[tuple[int, str]]:
    """Numbered prose lines below the heading of that name, up to the next one of its level or above."""
    level, lines = 0, list[tuple[int, str]]()
    for number, line in prose_lines(text):
        match = re.match(r"(#{1,6})\s+(.+?)\s*$", line)
        if match and not level and match[2].lower() == heading.lower():
            level = len(match[1])
        elif match and level and len(match[1]) <= level:
            break
        elif level:
            lines.append((number, line))
    return lines
