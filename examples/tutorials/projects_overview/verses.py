"""A Markov chain that writes verses: it knows which word (or letter) followed which, and rolls dice."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

Splitter = Callable[[str], list[str]]


def read_verses(path: str) -> list[str]:
    """The lines of a file that are not blank."""
    return [line for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]


def words(verse: str) -> list[str]:
    """The words of a verse, each with the blank after it."""
    return [f"{word} " for word in verse.split()]


def letters(verse: str) -> list[str]:
    """The letters of a verse."""
    return list(verse)


class MarkovChain:
    """Which token may come after the last `order` tokens, with repetition where it came more than once."""

    def __init__(self, verses: list[str], *, splitter: Splitter, order: int) -> None:
        self.order = order
        self.followers: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for verse in verses:
            tokens = [""] * order + [*splitter(verse), "\n"]
            for index in range(order, len(tokens)):
                self.followers[tuple(tokens[index - order : index])].append(tokens[index])

    def verse(self, dice: random.Random) -> str:
        """A verse from beginning to end."""
        tokens = [""] * self.order
        while tokens[-1] != "\n":
            tokens.append(dice.choice(self.followers[tuple(tokens[-self.order :])]))
        return "".join(tokens).strip()

    def __repr__(self) -> str:
        return f"MarkovChain(order={self.order}, {len(self.followers)} contexts)"


def write(chain: MarkovChain, *, seed: int, verses: int) -> list[str]:
    """Some verses; the same seed gives the same ones."""
    dice = random.Random(seed)
    return [chain.verse(dice) for _ in range(verses)]
