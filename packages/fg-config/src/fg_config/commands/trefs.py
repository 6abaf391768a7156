"""`trefs`: the templates that a config is made of."""

from __future__ import annotations

import argparse
from typing import Final

from fg_config.command_line import selected_project
from fg_config.commands.output import add_output, emit

_FORMATS: Final = ("files", "tree", "md", "dot", "svg", "json")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        default="files",
        help="default: files; svg is drawn here and needs no Graphviz, for its layout use `--format dot | dot -Tsvg`",
    )
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")


def run(args: argparse.Namespace) -> int:
    """Print the templates that rendering loaded."""
    from fg_config.commands.references import reference_text, references

    return emit(reference_text(references(selected_project(args).render), args.format), args)
