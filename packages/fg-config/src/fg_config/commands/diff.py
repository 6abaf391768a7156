"""`diff`: what differs between two configs, commits or runs."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fg_config.command_line import EXIT_PROBLEMS, given_dynamic_arguments, selected_project
from fg_config.commands.output import add_json, add_output, add_target, as_json, emit

if TYPE_CHECKING:
    from fg_config.changes.sides import Side
    from fg_config.graph import Graph
    from fg_config.nodes import Call


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    parser.description = (
        "What differs between A and B, each a config of the project, a run directory, a saved graph.json, "
        "DIRECTORY:CONFIG or COMMIT:CONFIG. Without B it is the selected config with the flags and overrides given; "
        "without A, too, A is that config without them. Exit code 1 when something differs."
    )
    add_output(parser)
    add_json(parser)
    parser.add_argument("sides", nargs="*", metavar="A [B]", help="what to compare (default: the selected config)")
    parser.add_argument("--code", action="store_true", help="compare the Python source of --target")
    add_target(parser)


def run(args: argparse.Namespace) -> int:
    """Print the differences; exit code 1 when there are some."""
    old, new = _sides(args)
    if args.code:
        text = _code_diff(old, new, args.target)
        return _done(text or "no difference", bool(text), args)
    from fg_config.changes.assigned import with_assignments
    from fg_config.changes.compare import diff
    from fg_config.changes.diff_text import DiffText, as_data

    difference = with_assignments(diff(old.graph, new.graph), old, new)
    if args.json:
        return _done(as_json({"a": old.name, "b": new.name, **as_data(difference)}), bool(difference), args)
    header = f"--- {old.name}\n+++ {new.name}\n" if difference else ""
    return _done(header + DiffText(colour=_colour(args), directory=Path.cwd())(difference), bool(difference), args)


def _sides(args: argparse.Namespace) -> tuple[Side, Side]:
    from fg_config.changes.sides import Sides
    from fg_config.errors import ProjectError

    if len(args.sides) > 2:
        raise ProjectError(f"{len(args.sides)} things to compare; diff takes two", code="FG0652")
    sides = Sides(Path(args.project_dir), args.config_template)
    changed = selected_project(args) if len(args.sides) < 2 else None
    if changed is None and (given_dynamic_arguments(args) or args.overrides):
        message = "flags and overrides change the selected config, which is not compared when A and B are given"
        raise ProjectError(message, code="FG0652", help="leave B out, or leave them out")
    if changed is not None and not args.sides:
        base = changed.load_config(changed.config_name).with_overrides(())
        return sides.of(base, base.config_name), sides.of(changed, f"{base.config_name} as given here")
    first = sides.open(args.sides[0])
    return first, sides.open(args.sides[1]) if changed is None else sides.of(changed, changed.config_name)


def _done(text: str, differs: bool, args: argparse.Namespace) -> int:
    return emit(text, args) or (EXIT_PROBLEMS if differs else 0)


def _colour(args: argparse.Namespace) -> bool:
    return sys.stdout.isatty() and args.output is None and not args.edit and "NO_COLOR" not in os.environ


def _code_diff(old: Side, new: Side, target: str) -> str:
    """A unified diff of the source of a target. Nothing is run: a `!meta` node is shown as a call."""
    before, after = (_source(side.graph, target).splitlines() for side in (old, new))
    return "\n".join(difflib.unified_diff(before, after, old.name, new.name, lineterm=""))


def _source(graph: Graph, target: str) -> str:
    from fg_config.building.resolver import resolve_alias
    from fg_config.exporting.export_python import render_source, to_source

    def as_call(node: Call) -> Call:
        return dataclasses.replace(node, kind="call", name=None)

    return render_source(to_source(graph.target(target), run_meta=as_call, alias=resolve_alias))
