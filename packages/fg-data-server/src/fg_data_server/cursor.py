"""Where a run is in its data: a few numbers that belong in the checkpoint, one per job and not per rank."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from fg_data_server.errors import CursorError, near_matches

CURSOR_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A position between two samples.

    Says nothing about world size, batch size or workers, so all of them may differ when a run goes on.

    version: of this record.
    view: names data, order, encoding and packing together; the position means something in that view only.
    fingerprints: of the sources.
    epoch: passes over the data that are complete.
    position: rows of this epoch, in its order, that are used up.
    pack_window, pack_sequence: with packing, the window of rows, and the next sequence of its plan; else 0.
    consumed_tokens: in all samples given out since the start.
    """

    version: int = CURSOR_VERSION
    view: str
    fingerprints: tuple[str, ...]
    epoch: int = 0
    position: int = 0
    pack_window: int = 0
    pack_sequence: int = 0
    consumed_tokens: int = 0

    def to_json(self) -> str:
        """One line, below 300 bytes for a single source."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote. Raises CursorError for anything else, unknown and missing keys included."""
        try:
            record = json.loads(text)
        except ValueError as error:
            raise CursorError(f"A data cursor is not JSON: {error}") from None
        if not isinstance(record, dict):
            raise CursorError(f"A data cursor is a JSON object, not {type(record).__name__}.")
        version = record.get("version")
        if version != CURSOR_VERSION:
            raise CursorError(f"A data cursor of version {version!r}; this program reads version {CURSOR_VERSION}.")
        names = {field.name for field in fields(cls)}
        for key in record.keys() - names:
            raise CursorError(f"A data cursor has the unknown field {key!r}.{near_matches(str(key), names)}")
        if missing := sorted(names - record.keys()):
            raise CursorError(f"A data cursor lacks {', '.join(missing)}.")
        return cls(**_checked(record))


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    values = dict(record)
    prints = values.pop("fingerprints")
    view = values.pop("view")
    if not isinstance(view, str) or not isinstance(prints, list) or not all(isinstance(p, str) for p in prints):
        raise CursorError("A data cursor needs a text as view and a list of texts as fingerprints.")
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise CursorError(f"A data cursor has {name}={value!r}; it must be a whole number of at least 0.")
    return {**values, "view": view, "fingerprints": tuple(prints)}
