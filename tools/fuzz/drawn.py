"""Inputs that a seed draws from the corpus and the dictionary: no coverage to guide them, but the same every time."""

from __future__ import annotations

import faulthandler
import logging
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tools.fuzz.laws import check_laws

_SEED: Final = 1
_HANG_SECONDS: Final = 30
_ODD: Final = (
    "\r",
    "\r\n",
    "\t",
    "\0",
    "\u2028",
    "\ufeff",
    "é",
    " ",
    "\n",
    ":",
    "-",
    "{",
    "}",
    "[",
    "]",
    "'",
    '"',
    "#",
    "&",
    "*",
)


def try_drawn(count: int, *, corpus: Path, dictionary: Path) -> int:
    """Check the laws on the corpus and on `count` inputs drawn from it; returns 0, or raises what escaped."""
    logging.disable()  # warnings about the inputs are not the result
    seeds = [path.read_bytes().decode("utf-8", errors="replace") for path in sorted(corpus.iterdir())]
    for number, text in enumerate([*seeds, *_drawn(count, seeds, _words(dictionary))]):
        _try(number, text)
    print(f"{count} drawn inputs and {len(seeds)} of the corpus: nothing found")
    return 0


def _try(number: int, text: str) -> None:
    lawful = False
    faulthandler.dump_traceback_later(_HANG_SECONDS, exit=True)
    try:
        check_laws(text)
        lawful = True
    finally:  # whatever came out ends the run with its traceback
        faulthandler.cancel_dump_traceback_later()
        if not lawful:
            print(f"input {number} breaks a law: {text!r}", flush=True)


def _words(dictionary: Path) -> list[str]:
    """The tokens of a libFuzzer dictionary: `"..."`, with backslash escapes."""
    quoted = re.findall(r'^[^#\n]*?"(.*)"\s*$', dictionary.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [word.encode().decode("unicode_escape") for word in quoted]


def _drawn(count: int, seeds: Sequence[str], words: Sequence[str]) -> Iterator[str]:
    draw = random.Random(_SEED)
    for _ in range(count):
        text = draw.choice(seeds)
        for _ in range(draw.randint(1, 6)):
            text = _mutated(text, draw, seeds, words)
        yield text


def _mutated(text: str, draw: random.Random, seeds: Sequence[str], words: Sequence[str]) -> str:
    """`text` with a part of it cut, doubled or replaced: by a token, an odd character or lines of another seed."""
    start = draw.randint(0, len(text))
    end = min(len(text), start + draw.choice((0, 0, 1, 2, 8, 40)))
    lines = draw.choice(seeds).splitlines(keepends=True)
    first = draw.randrange(len(lines))
    others = "".join(lines[first : first + draw.randint(1, 3)])
    part = draw.choice(("", text[start:end] * 2, draw.choice(words), draw.choice(_ODD), others))
    return text[:start] + part + text[end:]
