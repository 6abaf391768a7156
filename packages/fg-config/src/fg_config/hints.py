"""Near matches for misspelt names."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, candidates: Iterable[str], what: str = "names") -> str | None:
    """`did you mean 'a' or 'b'?`; the whole list when nothing is near and it is short; None when there is nothing."""
    known = sorted({str(name) for name in candidates})
    return did_you_mean(word, known) or (f"known {what}: {', '.join(known)}" if 0 < len(known) <= 12 else None)


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """`did you mean 'a' or 'b'?`; None when nothing is near."""
    near = near_matches(word, sorted(set(candidates)))
    return f"did you mean {' or '.join(map(repr, near))}?" if near else None


def near_matches(word: str, known: Iterable[str], least: float = 0.6) -> list[str]:
    """At most three of `known`: those that begin with `word`, else those that have at least `least` in common."""
    import difflib  # imported here: most commands make no mistake

    names = list(known)
    begun = [name for name in names if word.strip("-") and name.startswith(word)]
    return begun[:3] or difflib.get_close_matches(word, names, n=3, cutoff=least)
