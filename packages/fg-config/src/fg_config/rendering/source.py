"""Template files: reading them and splitting them into sub-templates.

A line such as `#---- mine.trainer ----` starts another template in the same file; everything before the first such
line is the template that has the file's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from fg_config.errors import TemplateError
from fg_config.nodes import Span

MARKER: Final = re.compile(r"\n(#(\s*)-{3,}\s*(?P<name>[\w./]+)\s*-{3,})\n")


@dataclass(frozen=True, kw_only=True)
class TemplateSource:
    """The text of one template and where it stands. `first_line` is the line of the file that the text begins on."""

    name: str
    text: str
    file: str
    first_line: int = 1
    label: str | None = None

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text, `lines[0]` is line `first_line` of the file."""
        return self.text.split("\n")

    def line_text(self, line: int) -> str:
        """What the user wrote on line `line` of the file (empty outside this template)."""
        index = line - self.first_line
        return self.lines[index] if 0 <= index < len(self.lines) else ""


def read_source(name: str, path: Path) -> list[TemplateSource]:
    """Read a template file (universal newlines) and split it; the first part carries the file's own name.

    Raises `TemplateError` when it is no readable UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"template {name!r} cannot be read: {error}", span=Span(file=str(path), line=1)) from error
    return split_source(text, name=name, file=str(path))


def universal_newlines(text: str) -> str:
    """`text` with every line ended as reading a file ends it: Jinja2 counts a lone `\\r` as the end of a line too."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def split_source(text: str, *, name: str, file: str) -> list[TemplateSource]:
    """Split `text` at its markers. Both newlines around a marker are consumed, so markers cannot be adjacent."""
    parts: list[TemplateSource] = []
    label: str | None = None
    start = 0
    for marker in [*MARKER.finditer(text), None]:
        end = marker.start() if marker else len(text)
        first_line = text.count("\n", 0, start) + 1
        parts.append(
            TemplateSource(name=label or name, text=text[start:end], file=file, first_line=first_line, label=label)
        )
        if marker:
            label, start = marker["name"], marker.end()
    return parts
