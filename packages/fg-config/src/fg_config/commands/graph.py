"""`graph`: the node graph of a config."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from fg_config.command_line import selected_project
from fg_config.commands.output import add_output, as_json, emit

if TYPE_CHECKING:
    from fg_config.projects.project import Project

_FORMATS: Final = ("yaml", "fconfig", "python", "json", "repr", "none")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)
    parser.add_argument("--format", choices=_FORMATS, default="yaml", help="default: yaml; none only checks")
    parser.add_argument("-d", "--debug", action="store_true", help="also print every template as Jinja sees it")
    parser.add_argument("--target", metavar="T", help="only this target (default: all; for python: main)")


def run(args: argparse.Namespace) -> int:
    """Print the graph in the form asked for."""
    project = selected_project(args)
    text = _text(project, args)
    if args.debug:
        from fg_config.provenance.lines import templates_text
        from fg_config.provenance.sites import Sites

        templates = templates_text(project.render, Sites(project.render, search_path=project.search_path))
        text = f"{text}\n{templates}" if text else templates
    return emit(text, args) if text else 0


def _text(project: Project, args: argparse.Namespace) -> str:
    graph = project.graph
    root = graph.root if args.target is None else graph.target(args.target)
    match args.format:
        case "yaml":
            from fg_config.exporting.export_yaml import to_yaml

            return to_yaml(root)
        case "python":
            from fg_config.building.resolver import resolve_alias
            from fg_config.exporting.export_python import render_source, to_source

            return render_source(to_source(graph.target(args.target or "main"), alias=resolve_alias))
        case "json":
            return as_json((graph if args.target is None else type(graph)(root=root)).to_json())
        case "repr" | "fconfig":
            from fg_config.commands.outline import graph_outline

            return graph_outline(root)
    return ""
