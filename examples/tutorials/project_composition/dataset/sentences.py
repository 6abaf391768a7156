"""Sentences from a small grammar: text for examples, as much as is wanted, from a seed."""

from __future__ import annotations

import random

GRAMMAR = {
    "sentence": ["{who} {did} {what}.", "{who} {did} {what} and {did} {what}.", "{when}, {who} {did} {what}."],
    "who": ["the {kind} {person}", "a {person}", "my {kind} {person}"],
    "person": ["baker", "sailor", "teacher", "doctor", "painter", "farmer", "neighbour"],
    "kind": ["old", "young", "clever", "tired", "happy", "quiet"],
    "did": ["found", "painted", "carried home", "gave away", "looked for", "sold"],
    "what": ["a {colour} {thing}", "the {thing}", "three {colour} {thing}s"],
    "colour": ["red", "blue", "green", "white", "golden"],
    "thing": ["boat", "chair", "lamp", "apple", "letter", "hat", "door"],
    "when": ["in the morning", "last summer", "after the storm", "every evening"],
}


def sentences(count: int, seed: int = 0) -> list[str]:
    """`count` sentences; the same seed gives the same ones."""
    dice = random.Random(seed)
    return [_expand("sentence", dice).capitalize() for _ in range(count)]


def _expand(symbol: str, dice: random.Random) -> str:
    text = dice.choice(GRAMMAR[symbol])
    while "{" in text:
        before, _, rest = text.partition("{")
        inner, _, after = rest.partition("}")
        text = before + _expand(inner, dice) + after
    return text
