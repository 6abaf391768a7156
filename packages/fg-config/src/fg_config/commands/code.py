"""`code`: a target as Python source."""

from __future__ import annotations

import argparse

from fg_config.command_line import selected_project
from fg_config.commands.output import add_output, add_target, emit
from fg_config.commands.policy_options import add_policy_options, under_policy


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)
    add_target(parser)
    add_policy_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the source; `!meta` nodes are run."""
    from fg_config.exporting.export_python import generate_code

    project = selected_project(args)
    with under_policy(args, project):
        source = generate_code(project.graph.target(args.target))
    return emit(source, args)
