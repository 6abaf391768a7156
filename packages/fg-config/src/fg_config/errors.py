"""Every error of the config language names the template line that caused it.

ConfigError                      base; carries a code, a span, a snippet and a help line
├── TemplateError        FG02xx  rendering: undefined names, cycles, missing templates
│   └── TemplateWarning          what renders but is probably a mistake
├── YamlError            FG03xx  YAML text, tags and arguments
├── GraphError           FG04xx  names, variables, import specs and building
│   ├── UnknownTargetError        also a KeyError
│   └── PolicyError               the import policy forbids it
└── ProjectError         FG06xx  meta.yaml, workspaces, config names, dynamic arguments
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, Protocol

from fg_config.nodes import Span

_FIRST_STEPS: Final = 9  # of a chain that is too long to be shown
_LAST_STEPS: Final = 2


class ConfigError(Exception):
    """A mistake in something the user wrote.

    `str(error)` is the whole report: code and message, file:line with the source line, the chain of
    templates that led there, and what to do.
    """

    exit_code: ClassVar[int] = 2
    default_code: ClassVar[str] = "FG0000"
    severity: str = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        span: Span | None = None,
        snippet: str | None = None,
        help: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.span = span
        self.snippet = snippet
        self.help = help

    def __str__(self) -> str:
        return report(self)


class Reportable(Protocol):
    """What a report is made from: an error, or a finding of `check`."""

    @property
    def severity(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def span(self) -> Span | None: ...
    @property
    def snippet(self) -> str | None: ...
    @property
    def help(self) -> str | None: ...


def report(found: Reportable) -> str:
    """Code and message, file:line with the source line, the chain that led there, and what to do."""
    lines = [f"{found.severity}[{found.code}]: {found.message}"]
    if found.span is not None:
        lines.append(f"  --> {found.span}")
    if text := (found.snippet or source_line(found.span)).strip():
        lines.append(f"   |  {text}")
    if found.span is not None:
        lines += _chain(found.span.via)
    if found.help:
        lines.append(f"  help: {found.help}")
    return "\n".join(lines)


def _chain(steps: Sequence[Span]) -> Iterator[str]:
    """A line for every step; a template that includes itself until a condition ends it makes a thousand of them."""
    left_out = len(steps) - _FIRST_STEPS - _LAST_STEPS
    if left_out <= 1:
        yield from (f"  via {step}" for step in steps)
        return
    yield from (f"  via {step}" for step in steps[:_FIRST_STEPS])
    yield f"  via {left_out} more"
    yield from (f"  via {step}" for step in steps[-_LAST_STEPS:])


def source_line(span: Span | None) -> str:
    """The line of the file at `span`; empty for what stands in no file."""
    if span is None or not os.path.isfile(span.file):  # noqa: PTH113  # `<text>` is no path
        return ""
    import linecache  # imported here: an error may tell its line, no other command needs that

    linecache.checkcache(span.file)
    return linecache.getline(span.file, span.line)


class TemplateError(ConfigError):
    """The template text cannot be rendered."""

    default_code = "FG0200"


class TemplateWarning(TemplateError):  # noqa: N818  # never raised: collected and shown
    """The template text can be rendered, but probably does not say what was meant."""

    severity = "warning"


class YamlError(ConfigError):
    """The rendered text is not the YAML this language accepts."""

    default_code = "FG0300"


class GraphError(ConfigError):
    """The graph cannot be parsed, exported or built."""

    default_code = "FG0400"


class ProjectError(ConfigError):
    """The project, workspace, config name or dynamic arguments are wrong."""

    default_code = "FG0600"


class UnknownTargetError(GraphError, KeyError):
    """A config has no target of that name."""

    default_code = "FG0401"


class PolicyError(GraphError):
    """The import policy forbids what a config names."""

    default_code = "FG0450"
