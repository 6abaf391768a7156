"""The import policy of a project: the default rules, what the user added to them, and what the user trusts.

Nothing that lies in a project takes part, unless the user trusts the directory: a trusted directory is not restricted,
or, when its workspace has a `forgather_workspace/policy.yaml`, restricted by that file.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from fg_config.building.local_modules import is_below
from fg_config.building.policy import POLICY_FILE, ImportPolicy, policy_in_force
from fg_config.errors import PolicyError
from fg_config.graph import Graph
from fg_config.paths import config_dir
from fg_config.projects.trust import check_private, is_trusted
from fg_config.projects.workspace import WORKSPACE

_DECISIVE: Final = frozenset(
    [
        *("PATH", "HOME", "USERPROFILE", "APPDATA", "XDG_CONFIG_HOME", "BASH_ENV", "ENV", "CC", "CXX", "CUDA_HOME"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONBREAKPOINT", "PYTHONINSPECT"),
        *("PYTHONPLATLIBDIR", "PYTHONEXECUTABLE", "PYTHONPYCACHEPREFIX", "HF_MODULES_CACHE"),
    ]
)
_DECISIVE_BEGINNINGS: Final = ("FORGATHER_", "LD_", "DYLD_")


def project_policy(project_dir: Path, workspace_root: Path, *, allow: Iterable[str] = ()) -> ImportPolicy:
    """The policy that a project is built under. `allow` adds names for this once.

    Raises `ProjectError` for a policy file with mistakes, or one that others may write.
    """
    user = _with_file(ImportPolicy.default(), config_dir() / POLICY_FILE)
    if is_trusted(project_dir):
        shared = workspace_root / WORKSPACE / POLICY_FILE
        if not (shared.is_file() and is_trusted(workspace_root)):
            return ImportPolicy.unrestricted()
        user = _with_file(user, shared)
    return user.with_roots(project_dir, workspace_root).with_rules(allow=allow)


def inherited_policy(project_dir: Path, workspace_root: Path) -> ImportPolicy:
    """The policy of a project that is built by the config of another one, or else its own.

    The rules of the build that is running hold. The project must lie below that build's directories, or be trusted.
    Raises `PolicyError`.
    """
    running = policy_in_force()
    if running is None:
        return project_policy(project_dir, workspace_root)
    if running.trusted or is_below(project_dir, running.roots):
        return running
    if is_trusted(project_dir):
        return running.with_roots(project_dir, workspace_root)
    raise PolicyError(
        f"the import policy does not let a config build the project {project_dir}, which is in another workspace",
        code="FG0456",
        help=f"`forgather trust {shlex.quote(str(workspace_root.resolve()))}`, once, if you trust the projects there",
    )


def check_environment(policy: ImportPolicy, environment: Mapping[str, str], graph: Graph) -> None:
    """Refuse variables of the target `env` that decide which code a process loads, or what it trusts.

    Raises `PolicyError`.
    """
    for name in () if policy.trusted else environment:
        if name in _DECISIVE or name.startswith(_DECISIVE_BEGINNINGS):
            raise PolicyError(
                f"the import policy does not let a config set the environment variable {name}",
                code="FG0457",
                span=graph.span(("env", name)),
                help="set it in the shell, or build with --trust",
            )


def _with_file(policy: ImportPolicy, path: Path) -> ImportPolicy:
    if not path.is_file():
        return policy
    check_private(path)
    return policy.with_file(path)
