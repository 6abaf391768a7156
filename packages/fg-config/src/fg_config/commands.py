"""The verbs that look at configs. Only `construct` builds; `code` runs `!meta` nodes, whose result is source.

All others, and `code` of a target without such a node, neither import nor call anything a config names.
"""

from __future__ import annotations

import argparse
import json
import pprint
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fg_config.command_line import (
    EXIT_PROBLEMS,
    add_dynamic_arguments,
    add_project_options,
    given_dynamic_arguments,
    selected_project,
)

if TYPE_CHECKING:
    from fg_config.project import Project

VERBS: dict[str, str] = {
    "ls": "list the configs of a project",
    "pp": "print a config after templates, before YAML is read",
    "targets": "list what a config can build",
    "graph": "print the node graph of a config",
    "code": "print a target as Python source",
    "trefs": "list the templates a config is made of",
    "construct": "build a target and print it",
}

_GRAPH_FORMATS: Final = ("yaml", "python", "json", "repr", "none")
_TREFS_FORMATS: Final = ("files", "tree", "dot", "json")


def configure(verb: str, parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Add the flags of `verb`; `argv` selects the config whose dynamic arguments become flags."""
    add_project_options(parser)
    _CONFIGURE[verb](parser)
    if verb in _DYNAMIC:
        add_dynamic_arguments(parser, argv)


def run(verb: str, args: argparse.Namespace) -> int:
    """Run `verb` and return the exit code."""
    return _RUN[verb](args)


def _emit(text: str, args: argparse.Namespace) -> int:
    if args.output is None:
        print(text.removesuffix("\n"))
    else:
        from fg_config.files import atomic_write

        atomic_write(args.output, text.removesuffix("\n") + "\n")
    return 0


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to FILE instead of the terminal")


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


# --- ls -----------------------------------------------------------------------------------------------------------


def _configure_ls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("projects", nargs="*", metavar="PROJECT", help="project directories (default: -p)")
    parser.add_argument("-r", "--recursive", action="store_true", help="every project below the directories")
    parser.add_argument("--names", action="store_true", help="only the names of the configs, without reading them")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _ls(args: argparse.Namespace) -> int:
    from fg_config.listing import find_projects, list_project, listing_text
    from fg_config.project import list_configs

    places = [Path(place) for place in args.projects or [args.project_dir]]
    projects = list(find_projects(places, recursive=args.recursive))
    if args.names:
        print("\n".join(name for project in projects for name in list_configs(project)))
        return 0
    listings = [list_project(project) for project in projects]
    if args.json:
        print(_json([listing.to_json() for listing in listings]))
    else:
        print("\n\n".join(listing_text(listing, with_path=args.recursive) for listing in listings))
    return EXIT_PROBLEMS if any(listing.failed for listing in listings) else 0


# --- one config ---------------------------------------------------------------------------------------------------


def _configure_pp(parser: argparse.ArgumentParser) -> None:
    _add_output(parser)


def _pp(args: argparse.Namespace) -> int:
    project = selected_project(args)
    given = given_dynamic_arguments(args)
    header = f"# Dynamic arguments received: {given!r}\n" if given else ""
    return _emit(f"{header}{project.pp_config}", args)


def _configure_targets(parser: argparse.ArgumentParser) -> None:
    _add_output(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _targets(args: argparse.Namespace) -> int:
    names = selected_project(args).graph.targets
    return _emit(_json(list(names)) if args.json else "\n".join(names), args)


def _configure_graph(parser: argparse.ArgumentParser) -> None:
    _add_output(parser)
    parser.add_argument("--format", choices=_GRAPH_FORMATS, default="yaml", help="default: yaml; none only checks")
    parser.add_argument("--target", metavar="T", help="only this target (default: all; for python: main)")


def _graph(args: argparse.Namespace) -> int:
    project = selected_project(args)
    text = _graph_text(project, args)
    return 0 if args.format == "none" else _emit(text, args)


def _graph_text(project: Project, args: argparse.Namespace) -> str:
    graph = project.graph
    root = graph.root if args.target is None else graph.target(args.target)
    match args.format:
        case "yaml":
            from fg_config.export_yaml import to_yaml

            return to_yaml(root)
        case "python":
            from fg_config.export_python import render_source, to_source
            from fg_config.resolver import resolve_alias

            return render_source(to_source(graph.target(args.target or "main"), alias=resolve_alias))
        case "json":
            return _json((graph if args.target is None else type(graph)(root=root)).to_json())
        case "repr":
            from fg_config.listing import graph_outline

            return graph_outline(root)
    return ""


def _configure_target_choice(parser: argparse.ArgumentParser) -> None:
    _add_output(parser)
    parser.add_argument("--target", default="main", metavar="T", help="target (default: main)")


def _code(args: argparse.Namespace) -> int:
    from fg_config.export_python import generate_code

    return _emit(generate_code(selected_project(args).graph.target(args.target)), args)


def _configure_construct(parser: argparse.ArgumentParser) -> None:
    _configure_target_choice(parser)
    parser.add_argument("--call", action="store_true", help="call the built object and print the result")


def _construct(args: argparse.Namespace) -> int:
    built = selected_project(args)(args.target)
    return _emit(pprint.pformat(built() if args.call else built, sort_dicts=False), args)


def _configure_trefs(parser: argparse.ArgumentParser) -> None:
    _add_output(parser)
    parser.add_argument("--format", choices=_TREFS_FORMATS, default="files", help="default: files")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")


def _trefs(args: argparse.Namespace) -> int:
    from fg_config.listing import template_references

    return _emit(template_references(selected_project(args), args.format), args)


_CONFIGURE: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "ls": _configure_ls,
    "pp": _configure_pp,
    "targets": _configure_targets,
    "graph": _configure_graph,
    "code": _configure_target_choice,
    "trefs": _configure_trefs,
    "construct": _configure_construct,
}
_RUN: dict[str, Callable[[argparse.Namespace], int]] = {
    "ls": _ls,
    "pp": _pp,
    "targets": _targets,
    "graph": _graph,
    "code": _code,
    "trefs": _trefs,
    "construct": _construct,
}
_DYNAMIC: Final = frozenset({"pp", "graph", "code", "construct"})
