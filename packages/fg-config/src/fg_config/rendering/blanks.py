"""The words of statements, and shorthand that lacks the blank which would make it one: `--extends 'x'` is text."""

from __future__ import annotations

import re
from typing import Final

PAIRS: Final = ("if", "for", "block", "macro", "call", "filter", "set", "raw", "with")
STATEMENTS: Final = (
    *PAIRS,
    *(f"end{word}" for word in PAIRS),
    "else",
    "elif",
    "extends",
    "include",
    "import",
    "from",
)
_GLUED: Final = re.compile(rf"\s*(?:(--|<<|>>)({'|'.join(STATEMENTS)})\b(?!\s*[:=])|(==|=>)(super\(\)))")


def without_blank(line: str) -> str | None:
    """How the statement that `line` begins with was meant to be written, with its blank."""
    found = _GLUED.match(line)
    return f"{found[1] or found[3]} {found[2] or found[4]}" if found else None


def blank_help(statement: str) -> str:
    """What to write instead."""
    return f"write `{statement}`, with a blank"
