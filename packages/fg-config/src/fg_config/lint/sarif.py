"""Findings as SARIF 2.1.0 (OASIS), the format that code hosts and editors show at the line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fg_config.__about__ import __version__
from fg_config.lint.codes import CODES, FAMILIES
from fg_config.lint.findings import Finding
from fg_config.nodes import Span, Step

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_BASE: Final = "SRCROOT"


def to_sarif(findings: Sequence[Finding], root: Path) -> dict[str, Any]:
    """One SARIF log with one run. Files below `root` are named from there."""
    codes = sorted({*CODES, *(finding.code for finding in findings)})
    driver = {"name": "forgather-check", "version": __version__, "rules": [_rule(code) for code in codes]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_BASE: {"uri": root.absolute().as_uri() + "/"}},
        "results": [_result(finding, codes, root) for finding in findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    entry = CODES.get(code)
    if entry is None:
        return {"id": code}
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in entry.title.replace("`", "").split()),
        "shortDescription": {"text": entry.title},
        "fullDescription": {"text": entry.meaning},
        "defaultConfiguration": {"level": entry.severity},
        "properties": {"tags": [FAMILIES[code[:4]]]},
    }


def _result(finding: Finding, codes: Sequence[str], root: Path) -> dict[str, Any]:
    text = f"{finding.message}\n{finding.help}" if finding.help else finding.message
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": finding.severity,
        "message": {"text": text},
    }
    if finding.span is not None:
        result["locations"] = [_location(finding.span, root)]
        if finding.span.via:
            result["relatedLocations"] = [{"id": n, **_related(s, root)} for n, s in enumerate(finding.span.via)]
    if finding.configs:
        result["properties"] = {"configs": list(finding.configs)}
    return result


def _related(span: Span, root: Path) -> Mapping[str, Any]:
    message = {"message": {"text": span.action}} if isinstance(span, Step) else dict[str, Any]()
    return {**_location(span, root), **message}


def _location(span: Span, root: Path) -> Mapping[str, Any]:
    region = {"startLine": span.line, **({"startColumn": span.column} if span.column else {})}
    return {"physicalLocation": {"artifactLocation": _artifact(span.file, root), "region": region}}


def _artifact(file: str, root: Path) -> dict[str, str]:
    path = root.absolute() / file
    if path.is_relative_to(root.absolute()):
        # The relative reference, encoded as the whole URI would be.
        return {"uri": path.as_uri().removeprefix(root.absolute().as_uri() + "/"), "uriBaseId": _BASE}
    return {"uri": path.as_uri()}
