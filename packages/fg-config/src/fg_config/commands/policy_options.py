"""`--trust` and `--allow`: what one command may build beyond the import policy."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from fg_config.building.policy import ImportPolicy
    from fg_config.projects.project import Project


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    """Add `--trust` and `--allow`."""
    parser.add_argument("--trust", action="store_true", help="build without import policy, for this command")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="MODULE", help="let the config use MODULE (may be repeated)"
    )


def policy_words(args: argparse.Namespace) -> list[str]:
    """The options again, for the command line of a process that builds the same project."""
    return [*(["--trust"] if args.trust else []), *(word for name in args.allow for word in ("--allow", name))]


def selected_policy(args: argparse.Namespace, project: Project) -> ImportPolicy:
    """The policy of `project` under the options."""
    return given_policy(args, project.project_dir, project.meta.workspace_root)


def given_policy(args: argparse.Namespace, project_dir: Path, workspace_root: Path) -> ImportPolicy:
    """The policy of the project at `project_dir`, which need not be readable, under the options."""
    from fg_config.building.policy import ImportPolicy
    from fg_config.projects.policies import project_policy

    if args.trust:
        return ImportPolicy.unrestricted()
    return project_policy(project_dir, workspace_root, allow=args.allow)


@contextmanager
def under_policy(args: argparse.Namespace, project: Project) -> Iterator[ImportPolicy]:
    """What is built inside is built under the policy of the options."""
    from fg_config.building.policy import in_force

    policy = selected_policy(args, project)
    with in_force(policy):
        yield policy
