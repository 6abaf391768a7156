"""`ls`: the configs of one or many projects."""

from __future__ import annotations

import argparse
from pathlib import Path

from fg_config.command_line import EXIT_PROBLEMS
from fg_config.commands.output import add_json, as_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    parser.add_argument("projects", nargs="*", metavar="PROJECT", help="project directories (default: -p)")
    parser.add_argument("-d", "--debug", action="store_true", help="the whole report of a config that cannot be read")
    parser.add_argument("-r", "--recursive", action="store_true", help="every project below the directories")
    parser.add_argument("--names", action="store_true", help="only the names of the configs, without reading them")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the listings; exit code 1 when a project or config cannot be read."""
    from fg_config.commands.listing import find_projects, list_project, listing_text

    places = [Path(place) for place in args.projects or [args.project_dir]]
    projects = list(find_projects(places, recursive=args.recursive))
    if args.names:
        from fg_config.projects.project import list_configs

        print("\n".join(name for project in projects for name in list_configs(project)))
        return 0
    listings = [list_project(project, args.config_template) for project in projects]
    if args.json:
        print(as_json([listing.to_json() for listing in listings]))
    else:
        print(
            "\n\n".join(
                listing_text(listing, with_path=args.recursive, full_reports=args.debug) for listing in listings
            )
        )
    return EXIT_PROBLEMS if any(listing.failed for listing in listings) else 0
