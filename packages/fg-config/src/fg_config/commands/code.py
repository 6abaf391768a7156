"""`code`: a target as Python source."""

from __future__ import annotations

import argparse

from fg_config.command_line import selected_project
from fg_config.commands.output import add_output, add_target, emit


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)
    add_target(parser)


def run(args: argparse.Namespace) -> int:
    """Print the source; `!meta` nodes are run."""
    from fg_config.exporting.export_python import generate_code

    return emit(generate_code(selected_project(args).graph.target(args.target)), args)
