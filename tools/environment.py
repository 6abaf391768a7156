"""Is the environment whole? An installation that was interrupted leaves one that fails in confusing ways later."""

from __future__ import annotations

import sys
from importlib import metadata, util

from packaging.requirements import Requirement

from tools.workspace import Workspace, load_workspace

_REMEDY = "Make it anew: hatch env prune && hatch run test"


def missing_from_environment(workspace: Workspace) -> list[str]:
    """What the running interpreter lacks: one line for each distribution or requirement, empty when it is whole.

    Extras are optional and therefore not asked for; neither are the versions of siblings, which always come from this
    repository.
    """
    problems = []
    for distribution in workspace.distributions:
        if util.find_spec(distribution.import_name) is None:
            problems.append(f"{distribution.name} is not installed")
        for requirement in distribution.requirements:
            if requirement.name not in workspace.names and not _is_met(requirement):
                problems.append(f"{distribution.name} needs {requirement}, which is not installed")
    return problems


def _is_met(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(installed, prereleases=True)


def require_complete_environment(workspace: Workspace) -> None:
    """Raises SystemExit that lists what is missing and the command that repairs it."""
    problems = missing_from_environment(workspace)
    if problems:
        raise SystemExit("\n".join([f"The environment at {sys.prefix} is incomplete:", *problems, _REMEDY]))


if __name__ == "__main__":
    require_complete_environment(load_workspace())
