"""What a distribution asks of its siblings must fit the versions next to it and stop before the next breaking one."""

from __future__ import annotations

from packaging.requirements import Requirement

from tools.workspace import Distribution, Workspace

_UPPER_BOUNDS = ("<", "<=", "==", "~=")


def check_ranges(workspace: Workspace) -> list[str]:
    """Sibling requirements without an upper bound, or that do not admit the version in this repository.

    An unbounded range lets a foreign package of the same name on a public index replace ours. A range that excludes
    the local version goes unnoticed in an environment that exists already and breaks every new one.
    """
    return [
        f"{workspace.relative(distribution.folder)}/pyproject.toml: {requirement}: {problem}"
        for distribution in workspace.distributions
        for requirement in (*distribution.requirements, *distribution.extras)
        if requirement.name in workspace.names
        for problem in _problems(requirement, workspace.named(requirement.name))
    ]


def _problems(requirement: Requirement, sibling: Distribution) -> list[str]:
    problems = []
    if not any(bound.operator in _UPPER_BOUNDS for bound in requirement.specifier):
        problems.append("has no upper bound, add one such as <0.2")
    if not requirement.specifier.contains(sibling.version, prereleases=True):
        problems.append(f"does not admit the version here, {sibling.version}")
    return problems
