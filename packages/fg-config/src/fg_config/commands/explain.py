"""`explain`: where a value comes from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fg_config.command_line import selected_project
from fg_config.commands import SAVED_RUN
from fg_config.commands.output import add_json, add_output, as_json, emit
from fg_config.errors import ProjectError

if TYPE_CHECKING:
    from fg_config.changes.run_record import RunRecord
    from fg_config.projects.project import Project


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
    parser.add_argument(
        SAVED_RUN, type=Path, metavar="DIR", help="explain the run that was saved in DIR, whatever the config is now"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the explanation of one value, or with `--unset` the values that no line gives."""
    if args.unset:
        return _unset(args)
    from fg_config.provenance.explaining import explain
    from fg_config.provenance.report import explanation_text

    explanation = explain(_source(args), args.path)
    return emit(as_json(explanation.to_json()) if args.json else explanation_text(explanation), args)


def _source(args: argparse.Namespace) -> Project | RunRecord:
    from fg_config.changes.run_record import load_run_record

    if args.run is None:
        return selected_project(args)
    if args.overrides:
        message = f"{SAVED_RUN} explains what was; --set and --set-json would change it"
        raise ProjectError(message, code="FG0655", help="leave one of them out")
    return load_run_record(args.run)


def _unset(args: argparse.Namespace) -> int:
    from fg_config.provenance.unset import unset_parameters, unset_text

    policy = None if args.run else selected_project(args).policy
    found = unset_parameters(_source(args).graph, args.path, policy=policy)
    return emit(as_json([node.to_json() for node in found]) if args.json else unset_text(found), args)
