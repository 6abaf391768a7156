"""`construct`: build a target and print it."""

from __future__ import annotations

import argparse
import pprint

from fg_config.command_line import selected_project
from fg_config.commands.output import add_output, add_target, emit
from fg_config.commands.policy_options import add_policy_options, under_policy
from fg_config.errors import GraphError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)
    add_target(parser)
    add_policy_options(parser)
    parser.add_argument("--call", action="store_true", help="call the built object and print the result")


def run(args: argparse.Namespace) -> int:
    """Print the object, or with `--call` what it returns."""
    project = selected_project(args)
    with under_policy(args, project):
        built = project(args.target)
        if args.call and not callable(built):
            message = f"the target {args.target!r} builds to {_shown_type(built)}, which cannot be called"
            help = "without --call it is built and printed"
            raise GraphError(message, code="FG0414", span=project.graph.span(args.target), help=help)
        result = built() if args.call else built
    return emit(pprint.pformat(result, sort_dicts=False), args)


def _shown_type(value: object) -> str:
    return "nothing" if value is None else f"an object of the type {type(value).__name__!r}"
