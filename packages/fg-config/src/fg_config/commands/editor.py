"""`editor`: syntax highlighting for an editor, as files."""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    parser.add_argument("editor", choices=("vscode", "vim", "tokens"), help="tokens: the table both are made from")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="folder to write into (default: only list the files)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the files and name them."""
    from fg_config.editors.files import EDITORS

    for name, text in EDITORS[args.editor]().items():
        print(name if args.output is None else _written(args.output / name, text))
    return 0


def _written(path: Path, text: str) -> Path:
    from fg_config.files import atomic_write

    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, text)
    return path
