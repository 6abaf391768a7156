"""Third-party packages: what the source imports is declared, what is declared is imported (deptry)."""

from __future__ import annotations

from tools.checks.process import run_python
from tools.workspace import Distribution, Workspace


def check_third_party(workspace: Workspace) -> list[str]:
    """Findings of deptry for each distribution's source."""
    return [finding for distribution in workspace.distributions for finding in _findings(workspace, distribution)]


def _findings(workspace: Workspace, distribution: Distribution) -> list[str]:
    # Extras may be plug-ins that only another library imports, torch warns at import when numpy is absent, and which
    # siblings may be declared is the business of the arrows.
    unused = "|".join(["numpy", *workspace.names, *(requirement.name for requirement in distribution.extras)])
    options = ["--known-first-party", distribution.import_name, "--per-rule-ignores", f"DEP002={unused}"]
    exit_code, output = run_python(["-m", "deptry", "src", "--no-ansi", *options], cwd=distribution.folder)
    if exit_code == 0:
        return []
    folder = workspace.relative(distribution.folder)
    lines = [line for line in output.splitlines() if ": DEP" in line]
    return [f"{folder}/{line}" for line in lines] or [f"{folder}: deptry failed\n{output}"]
