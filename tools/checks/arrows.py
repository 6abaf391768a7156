"""The arrows between distributions: the table, the declarations and the imports say the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tools.checks.process import run_python
from tools.workspace import Arrows, Distribution, Workspace, load_arrows

_LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def check_arrows(workspace: Workspace) -> list[str]:
    """Declarations that differ from `arrows.toml`, then imports that no arrow allows."""
    arrows = load_arrows(workspace)
    return _undeclared(workspace, arrows) or _forbidden_imports(workspace, arrows)


def _undeclared(workspace: Workspace, arrows: dict[str, Arrows]) -> list[str]:
    findings = [f"arrows.toml: no distribution is named {name}" for name in arrows if name not in workspace.names]
    for distribution in workspace.distributions:
        if distribution.name not in arrows:
            findings.append(f"arrows.toml: {distribution.name} is missing")
            continue
        allowed, declared = set(arrows[distribution.name].depends_on), set(workspace.siblings(distribution))
        manifest = f"{workspace.relative(distribution.folder)}/pyproject.toml"
        findings += [f"{manifest}: declares {name}, which arrows.toml does not" for name in sorted(declared - allowed)]
        findings += [
            f"{manifest}: does not declare {name}, which arrows.toml does" for name in sorted(allowed - declared)
        ]
    return findings


def _forbidden_imports(workspace: Workspace, arrows: dict[str, Arrows]) -> list[str]:
    importable = [distribution for distribution in workspace.distributions if distribution.is_importable]
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "importlinter.ini"
        config.write_text("\n".join(_contracts(importable, arrows)), encoding="utf-8")
        exit_code, output = run_python(
            ["-c", _LINT_IMPORTS, "--config", config, "--no-cache"],
            cwd=workspace.root,
            paths=[distribution.src for distribution in importable],
        )
    return [] if exit_code == 0 else [_broken_part(output)]


def _contracts(importable: list[Distribution], arrows: dict[str, Arrows]) -> Iterator[str]:
    """import-linter's configuration: one contract per distribution, forbidding every package it has no arrow to."""
    yield "[importlinter]\nroot_packages ="
    yield from (f"    {distribution.import_name}" for distribution in importable)
    for distribution in importable:
        rules = arrows[distribution.name]
        forbidden = [each for each in importable if _is_forbidden(each.name, distribution.name, rules)]
        if not forbidden:
            continue
        yield f"[importlinter:contract:{distribution.name}]"
        yield f"name = {distribution.name} imports only {', '.join(rules.depends_on) or 'none of its siblings'}"
        yield "type = forbidden\nallow_indirect_imports = true\nunmatched_ignore_imports_alerting = none"
        yield f"source_modules =\n    {distribution.import_name}\nforbidden_modules ="
        yield from (f"    {each.import_name}" for each in forbidden)
        yield "ignore_imports ="
        yield from (f"    {line}" for line in _exceptions(rules))


def _is_forbidden(candidate: str, importer: str, rules: Arrows) -> bool:
    return candidate != importer and (candidate not in rules.depends_on or candidate in rules.only_in)


def _exceptions(rules: Arrows) -> Iterator[str]:
    for sibling, modules in rules.only_in.items():
        package = sibling.replace("-", "_")
        for module in modules:
            yield from (f"{module} -> {package}", f"{module} -> {package}.**")


def _broken_part(output: str) -> str:
    _, marker, details = output.partition("Broken contracts")
    return details.lstrip("\n-").strip() if marker else output
