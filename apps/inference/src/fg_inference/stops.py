"""Stop strings, wherever the borders of the tokens fall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scanned:
    """Text that is safe to show, and whether a stop string came behind it."""

    text: str
    stopped: bool


class StopScanner:
    """Cuts a stream of text before the stop string that is complete first.

    Of two that end at the same character the longer one counts. Text that may be the beginning of a stop string is held
    back until it is decided, so the result does not depend on how the stream is cut into pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""

    def add(self, piece: str) -> Scanned:
        """What `piece` makes certain."""
        text = self._held + piece
        found = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        if found:
            self._held = ""
            return Scanned(text[: min(found)[1]], stopped=True)
        safe = len(text) - max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[safe:]
        return Scanned(text[:safe], stopped=False)

    def flush(self) -> str:
        """What was held back, once nothing follows."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` with which `stop` begins."""
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
