"""Which items of two lists belong together: equal ones first, then those of a kind, then those in the same place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

_LIMIT: Final = 250_000  # cells of the table; longer lists are compared place by place

Pairs = list[tuple[int | None, int | None]]
Names = tuple[Callable[[Any], str], Callable[[Any], str]]


def aligned(old: Sequence[Any], new: Sequence[Any], *names: Names, by_position: bool = True) -> Pairs:
    """Pairs of positions, in the order of both lists; None stands where an item has no partner.

    Each of `names` is a pair of functions, for old and new items: those with equal names are partners, as many as can
    be without crossing. Between them the next names decide, and in the end the position, unless `by_position` is false.
    """
    return _between(old, new, 0, 0, names, by_position)


def _between(
    old: Sequence[Any], new: Sequence[Any], at_old: int, at_new: int, names: Sequence[Names], by_position: bool
) -> Pairs:
    """The pairs of two stretches that begin at the given positions."""
    if not names or not old or not new:
        both = min(len(old), len(new)) if by_position else 0
        pairs: Pairs = [(at_old + index, at_new + index) for index in range(both)]
        pairs += [(at_old + index, None) for index in range(both, len(old))]
        return pairs + [(None, at_new + index) for index in range(both, len(new))]
    (name_old, name_new), *others = names
    result: Pairs = []
    i = j = 0
    for partner in [*_common([name_old(item) for item in old], [name_new(item) for item in new]), None]:
        next_i, next_j = partner or (len(old), len(new))
        result += _between(old[i:next_i], new[j:next_j], at_old + i, at_new + j, others, by_position)
        if partner is not None:
            result.append((at_old + next_i, at_new + next_j))
        i, j = next_i + 1, next_j + 1
    return result


def _common(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """A longest common subsequence, the same one when the lists are exchanged."""
    begin = 0
    while begin < min(len(old), len(new)) and old[begin] == new[begin]:
        begin += 1
    end = 0
    while end < min(len(old), len(new)) - begin and old[-1 - end] == new[-1 - end]:
        end += 1
    pairs = [(index, index) for index in range(begin)]
    middle = _longest(old[begin : len(old) - end], new[begin : len(new) - end])
    pairs += [(begin + i, begin + j) for i, j in middle]
    return pairs + [(len(old) - rest, len(new) - rest) for rest in range(end, 0, -1)]


def _longest(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    if len(old) * len(new) > _LIMIT:
        return [(index, index) for index, (a, b) in enumerate(zip(old, new, strict=False)) if a == b]
    length = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in reversed(range(len(old))):
        for j in reversed(range(len(new))):
            equal = old[i] == new[j]
            length[i][j] = length[i + 1][j + 1] + 1 if equal else max(length[i + 1][j], length[i][j + 1])
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(old) and j < len(new):
        if old[i] == new[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif (length[i + 1][j], new[j]) > (length[i][j + 1], old[i]):  # of two equally good ways, one by name
            i += 1
        else:
            j += 1
    return pairs
