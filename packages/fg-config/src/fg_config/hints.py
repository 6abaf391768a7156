"""Near matches for misspelt names."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, candidates: Iterable[str], what: str = "names") -> str | None:
    """`did you mean 'a' or 'b'?`; the whole list when nothing is near and it is short; None when there is nothing."""
    import difflib  # imported here: most commands make no mistake

    known = sorted({str(name) for name in candidates})
    near = [name for name in known if word and name.startswith(word)][:3] or difflib.get_close_matches(word, known, n=3)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"known {what}: {', '.join(known)}" if 0 < len(known) <= 12 else None
