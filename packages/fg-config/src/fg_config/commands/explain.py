"""`explain`: where a value comes from."""

from __future__ import annotations

import argparse

from fg_config.command_line import selected_project
from fg_config.commands.output import add_output, as_json, emit


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)
    parser.add_argument(
        "path", nargs="?", default="", metavar="PATH", help="such as trainer_args.lr (default: the whole config)"
    )
    parser.add_argument(
        "--unset",
        action="store_true",
        help="list what the callables at and below PATH default to; a process of its own imports them",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the explanation of one value, or with `--unset` the values that no line gives."""
    project = selected_project(args)
    if args.unset:
        from fg_config.provenance.unset import unset_parameters, unset_text

        found = unset_parameters(project.graph, args.path, policy=project.policy)
        return emit(as_json([node.to_json() for node in found]) if args.json else unset_text(found), args)
    from fg_config.provenance.explaining import explain
    from fg_config.provenance.report import explanation_text

    explanation = explain(project, args.path)
    return emit(as_json(explanation.to_json()) if args.json else explanation_text(explanation), args)
