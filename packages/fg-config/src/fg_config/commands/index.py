"""`index`: a project on one page: its README, its record and its configs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fg_config.command_line import EXIT_PROBLEMS
from fg_config.commands.output import add_json, add_output, as_json, emit

if TYPE_CHECKING:
    from fg_config.commands.listing import ConfigEntry, ProjectListing


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the page; exit code 1 when the project or a config cannot be read."""
    from fg_config.commands.listing import list_project
    from fg_config.projects.workspace import find_project_dir

    listing = list_project(find_project_dir(args.project_dir))
    emit(as_json({**listing.to_json(), "readme": _readme(listing)}) if args.json else _markdown(listing), args)
    return EXIT_PROBLEMS if listing.failed else 0


def _markdown(listing: ProjectListing) -> str:
    if listing.error is not None:
        return f"# {listing.path.name}\n\nmeta.yaml cannot be read: {listing.error}"
    from fg_config.commands.meta import record_lines
    from fg_config.projects.meta import read_project_meta

    readme = _readme(listing)
    head = [readme.rstrip()] if readme else [f"# {listing.name or listing.path.name}", "", listing.description or ""]
    table = ["| config | name | description |", "| --- | --- | --- |", *map(_row, listing.configs)]
    configs = table if listing.configs else ["This project has no configs."]
    return "\n".join([*head, "", "## Project", "", *record_lines(read_project_meta(listing.path)), "", "## Configs", "",
                      *configs])  # fmt: skip


def _readme(listing: ProjectListing) -> str | None:
    file = listing.path / "README.md"
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None


def _row(entry: ConfigEntry) -> str:
    config = f"**{entry.config}** (default)" if entry.default else entry.config
    cells = [config, "cannot be read", entry.error] if entry.error else [config, entry.name, entry.description]
    return f"| {' | '.join((cell or '').replace('|', '&#124;') for cell in cells)} |"
