"""`## check: ignore FG0320 reason`: behind the line it is about, or on a line of its own above it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from fg_config.lint.codes import known
from fg_config.lint.findings import Finding

SUPPRESSION: Final = re.compile(r"##+\s*check\s*:\s*(.*)")


def words_of(text: str) -> tuple[tuple[str, ...], list[str]]:
    """The codes and families that `ignore FG0320, FG04 reason` names, and the words behind them."""
    first, *words = re.split(r"[\s,]+", text.strip()) or [""]
    if first != "ignore":
        return (), words
    count = next((index for index, word in enumerate(words) if not known(word)), len(words))
    return tuple(words[:count]), words[count:]


def without_suppressed(findings: Iterable[Finding], lines_of: Callable[[str], list[str]]) -> Iterator[Finding]:
    """The findings that no comment suppresses. `lines_of` gives the lines of a file."""
    for finding in findings:
        if finding.span is None or not _is_suppressed(finding, lines_of(finding.span.file)):
            yield finding


def _is_suppressed(finding: Finding, lines: list[str]) -> bool:
    assert finding.span is not None
    index = finding.span.line - 1
    own = lines[index] if 0 <= index < len(lines) else ""
    above = lines[index - 1] if 0 < index <= len(lines) else ""
    comments = [own, above] if above.lstrip().startswith("##") else [own]
    codes = [code for line in comments if (found := SUPPRESSION.search(line)) for code in words_of(found[1])[0]]
    return any(finding.code.startswith(code) for code in codes)
