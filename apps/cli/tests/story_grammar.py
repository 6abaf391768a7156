"""The grammar that wrote the text of the scaffold `causal_lm`.

Every story follows one animal through one day: what it wants, where it looks, whom it meets. A model of a few hundred
thousand parameters can learn words, sentences and that a story keeps to its animal.
"""

from __future__ import annotations

import random
import sys

ANIMALS = {
    "hen": "she", "fox": "he", "goat": "she", "mouse": "he", "crow": "she", "otter": "he", "mole": "he", "cat": "she",
    "hare": "he", "duck": "she", "toad": "he", "wren": "she",
}  # fmt: skip
NATURES = ["small", "old", "brown", "quiet", "hungry", "clever", "tired", "young", "grey", "brave"]
THINGS = ["apple", "lantern", "blue feather", "bell", "loaf of bread", "key", "warm hat", "round stone", "pear", "boat"]
PLACES = {
    "barn": "in", "orchard": "in", "mill": "behind", "river": "beside", "hill": "on", "bridge": "under", "well": "near",
    "garden": "in", "old oak": "under", "market": "at",
}  # fmt: skip
WEATHER = ["It was raining.", "The sun was low.", "A cold wind blew.", "There was fog on the fields.", "Snow had come."]
MORNINGS = ["One morning", "Early in spring", "After the long night", "On the first day of autumn", "Before breakfast"]
LOOKING = ["looked", "searched", "dug", "waited", "listened"]
ANSWERS = ["I have not seen it", "Ask at the {place}", "Take mine", "It is where you left it", "Let us look together"]
ENDINGS = [
    "{They} carried the {thing} home and slept until noon.",
    "From that day on {they} shared everything with the {friend}.",
    "{They} never found the {thing}, but {they} had found a friend.",
    "And the {thing} was {where} the {place} all along.",
    "The {friend} laughed, and so did the {animal}.",
]


def story(chance: random.Random) -> str:
    """Five or six sentences about one animal."""
    animal, friend = chance.sample(sorted(ANIMALS), 2)
    place, other = chance.sample(sorted(PLACES), 2)
    words = {"animal": animal, "friend": friend, "thing": chance.choice(THINGS), "place": place, "where": PLACES[place]}
    words |= {"they": ANIMALS[animal], "They": ANIMALS[animal].capitalize()}
    answer = chance.choice(ANSWERS).format(place=other)
    sentences = [
        f"{chance.choice(MORNINGS)} the {chance.choice(NATURES)} {animal} wanted {_a(words['thing'])}.",
        *([chance.choice(WEATHER)] if chance.random() < 0.5 else []),
        f"{words['They']} {chance.choice(LOOKING)} {PLACES[other]} the {other}, but there was nothing.",
        f"{PLACES[place].capitalize()} the {place} {words['they']} met {_a(chance.choice(NATURES))} {friend}.",
        f'"{answer}," said the {friend}.',
        chance.choice(ENDINGS).format(**words),
    ]
    return " ".join(sentences)


def _a(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def stories(count: int, seed: int) -> str:
    """`count` stories between blank lines."""
    chance = random.Random(seed)
    return "\n\n".join(story(chance) for _ in range(count)) + "\n"


if __name__ == "__main__":
    sys.stdout.write(stories(200, seed=1))
