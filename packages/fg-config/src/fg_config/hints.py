"""Near matches for misspelt names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

_NEAR_STEM: Final = 0.7
_AS_NEAR: Final = 0.2


def nearest(word: str, candidates: Iterable[str], what: str = "names") -> str | None:
    """`did you mean 'a' or 'b'?`; the whole list when nothing is near and it is short; None when there is nothing."""
    known = sorted({str(name) for name in candidates})
    return did_you_mean(word, known) or _listing(known, what)


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """`did you mean 'a' or 'b'?`; None when nothing is near."""
    return _question(near_matches(word, sorted(set(candidates))))


def _question(near: list[str]) -> str | None:
    return f"did you mean {' or '.join(map(repr, near))}?" if near else None


def _listing(known: list[str], what: str) -> str | None:
    return f"known {what}: {', '.join(known)}" if 0 < len(known) <= 12 else None


def near_matches(word: str, known: Iterable[str], least: float = 0.6) -> list[str]:
    """At most three of `known`: those that begin with `word`, else those that have at least `least` in common."""
    import difflib  # imported here: most commands make no mistake

    names = list(known)
    begun = [name for name in names if word.strip("-") and name.startswith(word)]
    return begun[:3] or difflib.get_close_matches(word, names, n=3, cutoff=least)


def nearest_path(path: str, candidates: Iterable[str]) -> str | None:
    """`did you mean …?` for paths: as near as their last parts are, without suffix, whatever the directories.

    Paths of the same last part are the only ones to suggest, when there are any.
    """
    from difflib import SequenceMatcher  # imported here: most commands make no mistake

    def likeness(candidate: str) -> tuple[float, float]:
        pairs = ((_stem(path), _stem(candidate)), (path, candidate))
        stem, whole = (SequenceMatcher(None, *pair).ratio() for pair in pairs)
        return stem, whole

    known = sorted(set(candidates))
    same = [each for each in known if PurePosixPath(each).name == PurePosixPath(path).name]
    near = {each: score for each in known if (score := likeness(each))[0] >= _NEAR_STEM}
    least = max(stem for stem, _ in near.values()) - _AS_NEAR if near else 0
    found = sorted((each for each in near if near[each][0] >= least), key=lambda each: near[each], reverse=True)
    return _question((same or found)[:3]) or _listing(known, "templates")


def _stem(path: str) -> str:
    last = PurePosixPath(path)
    return last.stem if last.suffix == ".yaml" else last.name
