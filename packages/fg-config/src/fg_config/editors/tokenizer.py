"""Runs the table of tokens over a text, the way an editor with a TextMate grammar does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from fg_config.editors.tokens import Match, Parts, Region, Rule, rules_of
from fg_config.rendering.preprocess import NEWLINE


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedToken:
    """A token on a line: characters `start` to `end` (from 0), the name of its class, and what they say."""

    start: int
    end: int
    name: str
    text: str


def tokenize(text: str) -> list[list[PlacedToken]]:
    """The tokens of every line of a template file, in order; what belongs to no token is left out."""
    open_regions: list[Region] = []
    return [_merged(_line(line, open_regions), line) for line in NEWLINE.split(text)]


def _line(line: str, open_regions: list[Region]) -> Iterator[tuple[int, int, str | None]]:
    """(start, end, name) of the pieces of a line; `open_regions` is what the line begins and ends inside of."""
    position = 0
    while True:
        region = open_regions[-1] if open_regions else None
        found, rule = _next(line, position, region)
        filler = region.token if region else None
        if found is None:
            yield position, len(line), filler
            return
        yield position, found.start(), filler
        yield from _pieces(found, _parts(rule, region), filler)
        position = found.end()
        if rule is None:
            open_regions.pop()
        elif isinstance(rule, Region):
            open_regions.append(rule)


def _next(line: str, position: int, region: Region | None) -> tuple[re.Match[str] | None, Rule | None]:
    """The earliest match and its rule, None for the end of the region; of several, the end, then the first rule."""
    best: re.Match[str] | None = _pattern(region.end).search(line, position) if region else None
    rule: Rule | None = None
    for each in rules_of(region.inside if region else "root"):
        found = _pattern(_begin(each)).search(line, position)
        if found and (best is None or found.start() < best.start()):
            best, rule = found, each
    return best, rule


def _begin(rule: Rule) -> Parts:
    return rule.parts if isinstance(rule, Match) else rule.begin


def _parts(rule: Rule | None, region: Region | None) -> Parts:
    if rule is not None:
        return _begin(rule)
    assert region is not None  # only a region has an end
    return region.end


@cache
def _pattern(parts: Parts) -> re.Pattern[str]:
    return re.compile("".join(f"({pattern})" for pattern, _ in parts))


def _pieces(found: re.Match[str], parts: Parts, filler: str | None) -> Iterator[tuple[int, int, str | None]]:
    for index, (_, name) in enumerate(parts, 1):
        yield found.start(index), found.end(index), name or filler


def _merged(pieces: Iterator[tuple[int, int, str | None]], line: str) -> list[PlacedToken]:
    """Tokens of the pieces that have a name and are not empty; neighbours of one name are one token."""
    tokens: list[PlacedToken] = []
    for start, end, name in pieces:
        if name is None or start == end:
            continue
        if tokens and tokens[-1].end == start and tokens[-1].name == name:
            start = tokens.pop().start
        tokens.append(PlacedToken(start=start, end=end, name=name, text=line[start:end]))
    return tokens
