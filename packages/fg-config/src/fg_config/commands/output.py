"""Where a verb's text goes: the terminal, or a file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add `-o FILE`."""
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to FILE instead of the terminal")


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add `--target`, by default `main`."""
    parser.add_argument("--target", default="main", metavar="T", help="target (default: main)")


def emit(text: str, args: argparse.Namespace) -> int:
    """Print `text` or write it to the file of `-o`; the exit code of success."""
    if args.output is None:
        print(text.removesuffix("\n"))
    else:
        from fg_config.files import atomic_write

        atomic_write(args.output, text.removesuffix("\n") + "\n")
    return 0


def as_json(value: object) -> str:
    """`value` as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)
