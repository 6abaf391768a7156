"""Where a verb's text goes: the terminal, a file, or a file that is opened in an editor."""

from __future__ import annotations

import argparse
import errno
import json
from pathlib import Path
from typing import Final

from fg_config.command_line import selected_record

# Of `--format`, where it is not the suffix itself.
_SUFFIXES: Final = {"python": "py", "files": "txt", "tree": "txt", "repr": "txt", "fconfig": "txt", "none": "txt"}
_OF_VERB: Final = {"pp": "yaml", "code": "py", "index": "md", "meta": "md"}


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add `-o FILE` and `-e`."""
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to FILE instead of the terminal")
    parser.add_argument(
        "-e", "--edit", action="store_true", help="open the text in an editor (as ./tmp/CONFIG_VERB.*, or FILE of -o)"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add `--target`, by default `main`."""
    parser.add_argument("--target", default="main", metavar="T", help="target (default: main)")


def emit(text: str, args: argparse.Namespace) -> int:
    """Print `text`, or write it where `-o` and `-e` say; the exit code of success."""
    if args.output is None and not args.edit:
        print(text.removesuffix("\n"))
        return 0
    place = args.output or _scratch_file(args)
    _write(place, text.removesuffix("\n") + "\n")
    if args.edit:
        from fg_config.shell.editor import open_in_editor

        return open_in_editor([place])
    return 0


def _write(place: Path, text: str) -> None:
    """Replace a file, or the one that a link leads to; a pipe or device is written to."""
    from fg_config.files import atomic_write

    if place.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a directory, not a file", str(place))
    if place.exists() and not place.is_file():
        place.write_text(text, encoding="utf-8")
    else:
        atomic_write(place.resolve() if place.is_symlink() else place, text)


def as_json(value: object) -> str:
    """`value` as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def _scratch_file(args: argparse.Namespace) -> Path:
    """`./tmp/<config>_<verb>.<suffix>`, in a directory that exists."""
    folder = Path("tmp")
    folder.mkdir(exist_ok=True)
    return folder / f"{_config_stem(args)}_{args.current_verb}.{_suffix(args)}"


def _config_stem(args: argparse.Namespace) -> str:
    name = args.config_template or selected_record(args).default_config or "project"
    return name.removesuffix(".yaml").replace("/", "-")


def _suffix(args: argparse.Namespace) -> str:
    form = "json" if getattr(args, "json", False) else getattr(args, "format", None)
    return _OF_VERB.get(args.current_verb, "txt") if form is None else _SUFFIXES.get(form, form)
