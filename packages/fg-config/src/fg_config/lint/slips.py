"""Whether two names differ by a slip of the fingers, rather than by meaning."""

from __future__ import annotations

import re
from typing import Final

_SHORTEST: Final = 5
_WORD: Final = re.compile(r"[a-z]+|\d+")


def is_slip(written: str, meant: str) -> bool:
    """Whether `written` is `meant` with other separators or capitals, or with one letter wrong, missing, added or
    swapped with its neighbour. Names that differ in a digit or in a word of one or two letters (beta1 and beta2, top_k
    and top_p) are different names.
    """
    if written == meant:
        return False
    first, second = _plain(written), _plain(meant)
    if first == second:
        return True
    if min(len(first), len(second)) < _SHORTEST or _differ_in_a_short_word(written, meant):
        return False
    return _one_edit(first, second)


def _plain(name: str) -> str:
    return re.sub(r"[-_.\s]", "", name).lower()


def _differ_in_a_short_word(first: str, second: str) -> bool:
    words = _WORD.findall(first.lower()), _WORD.findall(second.lower())
    if len(words[0]) != len(words[1]):
        return any(word.isdigit() for word in {*words[0]} ^ {*words[1]})
    pairs = [pair for pair in zip(*words, strict=True) if pair[0] != pair[1]]
    return any(min(map(len, pair)) <= 2 or pair[0].isdigit() or pair[1].isdigit() for pair in pairs)


def _one_edit(first: str, second: str) -> bool:
    """Whether one insertion, deletion, substitution or swap of neighbours makes `second` of `first`."""
    begin = next((i for i, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), None)
    if begin is None:
        return abs(len(first) - len(second)) == 1
    rest, other = first[begin:], second[begin:]
    swapped = len(rest) > 1 and rest[1] + rest[0] + rest[2:] == other
    return swapped or rest[1:] == other[1:] or rest[1:] == other or rest == other[1:]
