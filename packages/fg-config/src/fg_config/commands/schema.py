"""`schema`: what a file, a target or a flag may hold, as JSON Schema."""

from __future__ import annotations

import argparse
from typing import Any, Final

from fg_config.command_line import selected_project
from fg_config.commands.output import add_output, add_target, as_json, emit

_KINDS: Final = ("meta", "dynamic_args", "target")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)
    parser.add_argument(
        "of",
        choices=_KINDS,
        metavar="|".join(_KINDS),  # an argument that is missing is called by this
        help="meta.yaml, the flags that a config declares, or the arguments of --target (imported by another process)",
    )
    add_target(parser)


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    return emit(as_json(_schema(args)), args)


def _schema(args: argparse.Namespace) -> dict[str, Any]:
    if args.of == "target":
        from fg_config.schema.arguments import target_schema

        project = selected_project(args)
        return target_schema(project.graph, args.target, project.policy)
    from fg_config.schema import records

    return records.meta_schema() if args.of == "meta" else records.dynamic_args_schema()
