"""Format, lint and types: ruff and pyrefly with the configuration at the root."""

from __future__ import annotations

import sys

from tools.checks.process import run_python
from tools.workspace import Workspace


def check_format(workspace: Workspace) -> list[str]:
    """Files that `ruff format` would change."""
    return _findings(workspace, "ruff", "format", "--check", "--output-format=concise")


def check_lint(workspace: Workspace) -> list[str]:
    """Findings of `ruff check`."""
    return _findings(workspace, "ruff", "check", "--quiet", "--output-format=concise")


def check_types(workspace: Workspace) -> list[str]:
    """Findings of pyrefly's strict preset; an untyped definition is one."""
    options = ("--output-format=min-text", "--summary=none", f"--python-interpreter-path={sys.executable}")
    findings = _findings(workspace, "pyrefly", "check", *options)
    return [line for line in findings if not line.lstrip().startswith("INFO")]


def _findings(workspace: Workspace, *command: str) -> list[str]:
    exit_code, output = run_python(["-m", *command], cwd=workspace.root)
    if exit_code == 0:
        return []
    return output.splitlines() or [f"{' '.join(command)} ended with exit code {exit_code}"]
