"""How differences are shown: one paragraph per change, with the places of both values; or as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fg_config.changes.compare import Change, GraphDiff, Place, SharingChange
from fg_config.changes.digest import head
from fg_config.graph import Graph
from fg_config.nodes import Span, Value
from fg_config.shown import shown_flow

_SIGN: Final = {"changed": "~", "spec": "!", "added": "+", "removed": "-", "moved": ">"}
_COLOUR: Final = {"changed": "33", "spec": "35", "added": "32", "removed": "31", "moved": "36", "sharing": "34"}
_LONG_TEXT: Final = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffText:
    """The text of a `GraphDiff`. With `colour`, for a terminal; files below `directory` are named relative to it."""

    colour: bool = False
    directory: Path | None = None

    def __call__(self, difference: GraphDiff) -> str:
        paragraphs = [*map(self._change, difference.changes), *map(self._sharing, difference.sharing)]
        return "\n".join([*paragraphs, summary(difference)])

    def _change(self, change: Change) -> str:
        title = f"{_SIGN[change.kind]} {change_title(change)}"
        return "\n".join([self._painted(title, change.kind), *self._places(change)])

    def _sharing(self, change: SharingChange) -> str:
        what = "no longer one object" if change.kind == "split" else "one object now"
        return self._painted(f"= {what}: {', '.join(change.paths)}", "sharing")

    def _places(self, change: Change) -> Iterator[str]:
        spans = [place.span for place in (change.old, change.new) if place is not None and place.span is not None]
        if spans:
            yield f"    {' -> '.join(dict.fromkeys(map(self._place, spans)))}"
        assigned = [", ".join(map(self._place, place.set_at)) for place in (change.old, change.new) if place]
        if any(assigned):
            yield f"    set at {' -> '.join(filter(None, assigned))}"

    def _place(self, span: Span) -> str:
        file = Path(span.file)
        if self.directory is not None and file.is_relative_to(self.directory):
            span = replace(span, file=str(file.relative_to(self.directory)))
        return str(span)

    def _painted(self, text: str, kind: str) -> str:
        return f"\x1b[{_COLOUR[kind]}m{text}\x1b[0m" if self.colour else text


def summary(difference: GraphDiff) -> str:
    """How many changes of each kind there are, in one line."""
    counts: dict[str, int] = {}
    for each in (*difference.changes, *difference.sharing):
        kind = each.kind if isinstance(each, Change) else "sharing"
        counts[kind] = counts.get(kind, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no difference"


def change_title(change: Change) -> str:
    """A change in one line, without the places."""
    old, new = change.old, change.new
    if old is None or new is None:
        return f"{change.path}: {shown_flow((new or _only(old)).value)}"
    if change.kind == "moved" and old.path == new.path:
        return f"{new.path} has another place in the list: {shown_flow(new.value)}"
    if change.kind == "moved":
        return f"{old.path} is now {new.path}: {shown_flow(new.value)}"
    path = new.path if old.path == new.path else f"{new.path} (before: {old.path})"
    if change.kind == "spec":
        return f"{path or 'root'}: {head(old.value)} -> {head(new.value)}"
    return f"{path or 'root'}: {' -> '.join(_pair(old.value, new.value))}"


def _pair(old: Value, new: Value) -> tuple[str, str]:
    """Two values in one line; of long texts that begin alike, what differs."""
    if isinstance(old, str) and isinstance(new, str) and max(len(old), len(new)) > _LONG_TEXT:
        alike = next((index for index, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(min(old, new)))
        alike = max(old.rfind("/", 0, alike), 0)
        old, new = (f"…{text[alike:]}" if alike else text for text in (old, new))
    return shown_flow(old), shown_flow(new)


def _only(place: Place | None) -> Place:
    assert place is not None  # a change has at least one place
    return place


# --- JSON ---------------------------------------------------------------------------------------------------------


def as_data(difference: GraphDiff) -> dict[str, Any]:
    """The differences as JSON values; values are in the saved form of graphs."""
    return {
        "equal": not difference,
        "changes": [
            {"kind": change.kind, "path": change.path, "old": _place(change.old), "new": _place(change.new)}
            for change in difference.changes
        ],
        "sharing": [{"kind": change.kind, "paths": list(change.paths)} for change in difference.sharing],
    }


def _place(place: Place | None) -> dict[str, Any] | None:
    if place is None:
        return None
    span = place.span
    return {
        "path": place.path,
        "value": Graph(place.value).to_json(),
        "file": None if span is None else span.file,
        "line": None if span is None else span.line,
        "set_at": [{"file": each.file, "line": each.line} for each in place.set_at],
    }
