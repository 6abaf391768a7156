"""`pp`: the text that the templates of a config render to."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fg_config.command_line import given_dynamic_arguments, selected_project
from fg_config.commands.output import add_output, emit

if TYPE_CHECKING:
    from fg_config.projects.project import Project


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)
    origins = parser.add_mutually_exclusive_group()
    origins.add_argument(
        "--annotate", action="store_true", help="name the template line behind each line in a comment; still YAML"
    )
    origins.add_argument("--blame", action="store_true", help="put file, line and block before each line")
    parser.add_argument("-d", "--debug", action="store_true", help="also print every template as Jinja sees it")


def run(args: argparse.Namespace) -> int:
    """Print the text, after the dynamic arguments it was rendered with."""
    project = selected_project(args)
    given = given_dynamic_arguments(args)
    header = f"# Dynamic arguments received: {given!r}\n" if given else ""
    return emit(f"{header}{_text(project, args)}", args)


def _text(project: Project, args: argparse.Namespace) -> str:
    text = project.pp_config
    if not (args.annotate or args.blame or args.debug):
        return text
    from fg_config.provenance.lines import annotated, blamed, templates_text
    from fg_config.provenance.sites import Sites

    sites = Sites(project.render, search_path=project.search_path)
    shown = annotated(text, sites) if args.annotate else blamed(text, sites) if args.blame else str(text)
    return f"{shown}\n\n{templates_text(project.render, sites)}" if args.debug else shown
