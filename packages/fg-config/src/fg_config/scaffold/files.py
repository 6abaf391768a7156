"""Writing new files: all of them or none, and never over a file that is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from fg_config.errors import ProjectError

_TEMPLATE_SYNTAX: Final = ("##", "{{", "{%", "{#", "\n", "\r")


def write_new(files: Mapping[Path, str]) -> None:
    """Write `files` and the directories they need. Raises `ProjectError` naming those that exist; then none is written.

    When writing fails on the way (a full disk, a directory without permission) what was written is removed again.
    """
    taken = [path for path in files if path.exists() or path.is_symlink()]
    if taken:
        names = ", ".join(map(str, taken))
        raise ProjectError(
            f"nothing was created, because of what exists already: {names}", code="FG0620", help="choose another name"
        )
    made: list[Path] = []
    try:
        for path, text in files.items():
            for folder in reversed([folder for folder in path.parents if not folder.exists()]):
                folder.mkdir()
                made.append(folder)
            with path.open("x", encoding="utf-8") as stream:
                made.append(path)
                stream.write(text)
    except BaseException:  # Ctrl-C too must not leave half a project behind
        _remove(reversed(made))
        raise


def _remove(paths: Iterator[Path]) -> None:
    for path in paths:
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def text_of(file: Path) -> str:
    """The text of a file that is copied. Raises `ProjectError` when it is none."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ProjectError(f"{file} is no text in UTF-8: {error}", code="FG0625") from error


def checked_template_name(name: str) -> str:
    """`name`, if a template can have it. Raises `ProjectError`."""
    parts = Path(name).parts
    if not name.endswith(".yaml") or "\\" in name or name.startswith("/") or any(part[0] == "." for part in parts):
        help = "a relative name without hidden parts that ends with .yaml, such as big.yaml"
        raise ProjectError(f"{name!r} is no template name", code="FG0624", help=help)
    return name


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with every `@name@` replaced by its value; what values look like does not matter."""
    return re.sub(r"@(\w+)@", lambda found: values.get(found[1], found[0]), text)


def quoted(text: str, what: str) -> str:
    """`text` as a string that YAML and Jinja2 read alike. Raises `ProjectError` for what a template would rewrite."""
    for syntax in _TEMPLATE_SYNTAX:
        if syntax in text:
            message = f"{what} {text!r} holds {syntax!r}, which means something else in a template"
            raise ProjectError(message, code="FG0621", help="leave it out; README.md may say anything")
    return json.dumps(text, ensure_ascii=False)
