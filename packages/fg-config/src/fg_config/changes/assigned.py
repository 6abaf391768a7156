"""Why the value of an expression differs: the `-- set` lines behind it that are not those of the other config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fg_config.changes.compare import Change, GraphDiff, Place
from fg_config.changes.sides import Side
from fg_config.nodes import Span
from fg_config.provenance.explaining import lines_that_set

_Lines = Callable[[Place], tuple[Span, ...]]


def with_assignments(difference: GraphDiff, old: Side, new: Side) -> GraphDiff:
    """The differences with the assignments behind them, where both sides are configs whose templates are at hand."""
    if not difference or old.project is None or new.project is None:
        return difference
    of_old, of_new = _lines_of(old), _lines_of(new)
    changes = tuple(_assigned(change, of_old, of_new) for change in difference.changes)
    return replace(difference, changes=changes)


def _lines_of(side: Side) -> _Lines:
    assert side.project is not None
    lines = lines_that_set(side.project)
    return lambda place: lines(place.steps)


def _assigned(change: Change, of_old: _Lines, of_new: _Lines) -> Change:
    if change.old is None or change.new is None or change.kind == "moved":
        return change
    before, after = of_old(change.old), of_new(change.new)
    old = replace(change.old, set_at=tuple(span for span in before if span not in after))
    new = replace(change.new, set_at=tuple(span for span in after if span not in before))
    return replace(change, old=old, new=new)
