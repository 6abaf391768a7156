"""`pp`: the text that the templates of a config render to."""

from __future__ import annotations

import argparse

from fg_config.command_line import given_dynamic_arguments, selected_project
from fg_config.commands.output import add_output, emit


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print the text, after the dynamic arguments it was rendered with."""
    project = selected_project(args)
    given = given_dynamic_arguments(args)
    header = f"# Dynamic arguments received: {given!r}\n" if given else ""
    return emit(f"{header}{project.pp_config}", args)
