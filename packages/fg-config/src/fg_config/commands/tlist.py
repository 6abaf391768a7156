"""`tlist`: every template that the project can see, as files or as a forest of who extends whom."""

from __future__ import annotations

import argparse
from typing import Final

from fg_config.command_line import selected_record
from fg_config.commands.output import add_output, as_json, emit

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".jinja"})  # a README beside templates is none
_FORMATS: Final = ("files", "md", "json")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    add_output(parser)
    parser.add_argument("--format", choices=_FORMATS, default="files", help="default: files; md: who extends whom")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")


def run(args: argparse.Namespace) -> int:
    """Print the templates. Those that another file hides are only in the JSON."""
    from fg_config.commands.forest import forest_markdown, lineages
    from fg_config.projects.catalog import template_files

    files = [file for file in template_files(selected_record(args)) if file.file.suffix in _SUFFIXES]
    if args.format == "json":
        rows = [{**file.to_json(), "templates": [each.to_json() for each in lineages([file])]} for file in files]
        return emit(as_json(rows), args)
    seen = [file for file in files if file.hidden_by is None]
    return emit("\n".join(str(file.file) for file in seen) if args.format == "files" else forest_markdown(seen), args)
