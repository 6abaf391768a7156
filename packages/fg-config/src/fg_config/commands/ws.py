"""`ws`: the workspace directory, and new workspaces."""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions of the verb; without one it prints the directory."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=type(parser))
    create = actions.add_parser("create", help="make a directory a workspace", description="make a workspace")
    create.add_argument("directory", nargs="?", default=".", type=Path, metavar="DIR", help="directory (default: .)")
    create.add_argument("--name", help="title of its README (default: the name of the directory)")
    create.add_argument("--description", default="", help="a sentence for its README")
    create.add_argument(
        "--forgather-dir", type=Path, metavar="DIR", help="root of a checkout whose templates refer to it"
    )
    create.add_argument(
        "-l", "--lib", action="append", default=[], metavar="LIB", help="a template library below --forgather-dir"
    )
    create.add_argument(
        "--search-path", action="append", default=[], type=Path, metavar="DIR", help="a further template directory"
    )


def run(args: argparse.Namespace) -> int:
    """Print the directory, or create a workspace and print its directory."""
    if args.action == "create":
        return _create(args)
    from fg_config.projects.workspace import find_workspace_dir

    print(find_workspace_dir(args.project_dir))
    return 0


def _create(args: argparse.Namespace) -> int:
    from fg_config.scaffold.workspace import NewWorkspace

    workspace = NewWorkspace(
        directory=args.directory,
        name=args.name or args.directory.absolute().name,
        description=args.description,
        forgather_dir=args.forgather_dir,
        libraries=args.lib,
        search_path=args.search_path,
    )
    print(f"created {workspace.create()}")
    return 0
