"""`targets`: what a config can build."""

from __future__ import annotations

import argparse

from fg_config.command_line import selected_project
from fg_config.commands.output import add_json, add_output, as_json, emit


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the names in the order of the config."""
    names = selected_project(args).graph.targets
    return emit(as_json(list(names)) if args.json else "\n".join(names), args)
