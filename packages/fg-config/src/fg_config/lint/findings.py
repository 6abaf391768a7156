"""One finding of `check`: what is doubtful, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from fg_config.errors import ConfigError, report
from fg_config.nodes import Span, Step

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A doubtful place. `configs` are the configs (`project:config`) that show it; `str(finding)` is the report.

    An error keeps a config from being read or built, a warning is probably a mistake, a note is worth knowing.
    """

    code: str
    severity: Severity
    message: str
    span: Span | None = None
    snippet: str | None = None
    help: str | None = None
    configs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return report(self)

    @property
    def place(self) -> tuple[str, int, int]:
        """File, line and column, for sorting; nothing sorts before everything."""
        return (self.span.file, self.span.line, self.span.column) if self.span else ("", 0, 0)

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON values."""
        place = None if self.span is None else _place(self.span)
        via = [_step(step) for step in self.span.via] if self.span else list[dict[str, Any]]()
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "place": place,
            "via": via,
            "snippet": self.snippet,
            "help": self.help,
            "configs": list(self.configs),
        }


def _place(span: Span) -> dict[str, Any]:
    return {"file": span.file, "line": span.line, "column": span.column, "label": span.label}


def _step(span: Span) -> dict[str, Any]:
    """A step of a chain; what was saved before its statements were known has only places."""
    known = {"statement": span.statement, "block": span.block} if isinstance(span, Step) else dict[str, Any]()
    return _place(span) | known


def from_error(error: ConfigError) -> Finding:
    """What an error that reading raised, or a warning that it left behind, says as a finding."""
    severity: Severity = "warning" if error.severity == "warning" else "error"
    return Finding(
        code=error.code,
        severity=severity,
        message=error.message,
        span=error.span,
        snippet=error.snippet,
        help=error.help,
    )


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, with all configs that show it, sorted by place.

    What stops one config and is a doubt in another is one mistake: beside an error, a warning of its code at its line
    says nothing new.
    """
    unique: dict[tuple[Any, ...], Finding] = {}
    for finding in findings:
        key = (finding.code, finding.severity, *finding.place, finding.message)
        earlier = unique.get(key, finding)
        unique[key] = replace(earlier, configs=tuple(dict.fromkeys([*earlier.configs, *finding.configs])))
    stopped = {(each.code, each.place[:2]) for each in unique.values() if each.span and each.severity == "error"}
    kept = (each for each in unique.values() if each.severity == "error" or (each.code, each.place[:2]) not in stopped)
    return sorted(kept, key=lambda each: (*each.place, each.code, each.message))


def relative_to(findings: Iterable[Finding], directory: Path) -> Iterator[Finding]:
    """The findings with files below `directory` named from there."""
    for finding in findings:
        yield finding if finding.span is None else replace(finding, span=_relative(finding.span, directory))


def _relative(span: Span, directory: Path) -> Span:
    path = Path(span.file)
    file = str(path.relative_to(directory)) if path.is_relative_to(directory) else span.file
    return replace(span, file=file, via=tuple(_relative(step, directory) for step in span.via))
