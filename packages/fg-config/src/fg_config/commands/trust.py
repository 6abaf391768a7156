"""`trust`: the directories whose configs are built without restrictions."""

from __future__ import annotations

import argparse
from pathlib import Path

from fg_config.commands.output import add_json, as_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    parser.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="trust DIR and everything below it")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--remove", action="store_true", help="trust DIR no more")
    choice.add_argument("--list", action="store_true", help="list what is trusted (default without DIR)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Change the record of trust, or print it."""
    print(_report(args))
    return 0


def _report(args: argparse.Namespace) -> str:
    from fg_config.errors import ProjectError
    from fg_config.projects.trust import add_trust, remove_trust, trusted_directories

    if args.directory is None and args.remove:
        raise ProjectError("--remove needs a directory", code="FG0662", help="forgather trust --remove DIR")
    if args.directory is not None and args.remove:
        return f"no longer trusted: {remove_trust(args.directory)}"
    if args.directory is not None and not args.list:
        return f"trusted, with everything below: {add_trust(args.directory)}"
    entries = trusted_directories()
    if args.json:
        return as_json([{"path": str(each.path), "since": each.since} for each in entries])
    return "\n".join(f"{each.since}  {each.path}" for each in entries) or "no directory is trusted"
