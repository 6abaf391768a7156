"""The rendered text with the origin of each line: beside it as a comment, or before it as `git blame` does."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final

import yaml

from fg_config.nodes import Span
from fg_config.provenance.explanation import Site
from fg_config.provenance.sites import Sites
from fg_config.rendering.preprocess import preprocess
from fg_config.rendering.render import Render
from fg_config.rendering.sourcemap import RenderedText

_WIDEST: Final = 80  # longer lines do not push the comments of all others to the right
_UNMAPPED: Final = "?"


def annotated(text: RenderedText, sites: Sites) -> str:
    """`max_steps: 300   # project.yaml:112 [trainer_args]`, in columns. It parses to what `text` parses to.

    A comment inside a block scalar or a string of several lines would be part of the value, so those lines stay as
    they are; the line on which such a scalar begins (block scalar) or ends (string) carries the comment.
    """
    lines, spans = text.split("\n"), line_spans(text)
    closed = _lines_without_comments(text)
    commented = {at for at, span in enumerate(spans) if span is not None and at not in closed}
    width = max((len(lines[at]) for at in commented if len(lines[at]) <= _WIDEST), default=0)
    return "\n".join(
        f"{line:<{width}}  # {sites.at(span).place}" if at in commented and span is not None else line
        for at, (line, span) in enumerate(zip(lines, spans, strict=True))
    )


def blamed(text: RenderedText, sites: Sites) -> str:
    """`file:line [block] │ text`. File and block stand on the first line of a run of lines from the same place."""
    found = [sites.at(span) if span is not None else None for span in line_spans(text)]
    lines = text.split("\n")
    heads = list(_heads(found, lines))
    width = max(map(len, heads))
    return "\n".join(f"{head:<{width}} │ {line}".rstrip() for head, line in zip(heads, lines, strict=True))


def _heads(found: Sequence[Site | None], lines: Sequence[str]) -> Iterator[str]:
    before = None
    for site, line in zip(found, lines, strict=True):
        if site is None:
            yield _UNMAPPED if line.strip() else ""
            continue
        same = before is not None and (site.file, site.block, site.label) == (before.file, before.block, before.label)
        yield f"{' ' * len(site.shown)}:{site.line}" if same else site.place
        before = site


def line_spans(text: RenderedText) -> list[Span | None]:
    """The span of each rendered line, None for a line on which nothing begins that a template line made."""
    lines = text.split("\n")
    marks = text.source_map
    if marks is None:
        return [None] * len(lines)
    spans: list[Span | None] = []
    start = 0
    for line in lines:
        index = bisect_left(marks.offsets, start)
        inside = index < len(marks.offsets) and marks.offsets[index] <= start + len(line)
        spans.append(text.span(marks.offsets[index]) if inside and line.strip() else None)
        start += len(line) + 1
    return spans


def _lines_without_comments(text: str) -> set[int]:
    """Lines (from 0) on which `#` would not begin a comment; all lines behind a syntax error."""
    plain = str.__str__(text)  # the C parser takes no subclass of str
    starts = [0, *(at + 1 for at, character in enumerate(plain) if character == "\n")]
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    closed: set[int] = set()
    reached = 0
    try:
        for token in yaml.scan(plain, Loader=loader):
            first, last = (bisect_right(starts, mark.index) - 1 for mark in (token.start_mark, token.end_mark))
            reached = last
            if isinstance(token, yaml.ScalarToken):
                ends_behind = token.end_mark.index > starts[last]  # a block scalar may end where the next line starts
                is_block = token.style in ("|", ">")
                closed |= set(range(first + 1, last + ends_behind) if is_block else range(first, last))
    except yaml.YAMLError:
        closed |= set(range(reached, len(starts)))
    return closed


def templates_text(render: Render, sites: Sites) -> str:
    """Every template of a render as Jinja sees it: after the shorthand for statements and blocks is spelt out."""
    parts = []
    for template in render.loaded.values():
        source = template.source
        label = f" (sub-template {source.label})" if source.label else ""
        parts.append(f"#==== {source.name}: {sites.file(source.file)}:{source.first_line}{label} ====")
        parts.append(preprocess(source.text).rstrip("\n") + "\n")
    return "\n".join(parts)
