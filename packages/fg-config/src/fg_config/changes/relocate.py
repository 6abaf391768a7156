"""A graph as if its files were somewhere else: paths in texts, specs and spans."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

from fg_config.changes.structure import is_holder, with_entries
from fg_config.graph import Graph, entries
from fg_config.nodes import Call, Span, Value, Var


def relocated(graph: Graph, before: str, after: str, file_name: Callable[[str], str]) -> Graph:
    """`graph` with the directory `before` called `after` in every text.

    In spans, files below `before` are what `file_name` makes of their relative path; layers are left out.
    """
    mover = _Mover(before, after, file_name)
    root = mover.value(graph.root)
    new = mover.identities
    return dataclasses.replace(
        graph,
        root=root,
        spans={(new[of], key): mover.span(span) for (of, key), span in graph.spans.items() if of in new},
        item_keys={new[of]: keys for of, keys in graph.item_keys.items() if of in new},
        layers={},
    )


class _Mover:
    def __init__(self, before: str, after: str, file_name: Callable[[str], str]) -> None:
        self._before = before
        self._after = after
        self._file_name = file_name
        self._new: dict[int, Value] = {}

    @property
    def identities(self) -> dict[int, int]:
        """Identity before → identity after."""
        return {number: id(value) for number, value in self._new.items()}

    def value(self, value: Value) -> Value:
        if isinstance(value, str):
            return value.replace(self._before, self._after)
        if not is_holder(value):
            return value
        if id(value) not in self._new:
            self._new[id(value)] = self._holder(value)
        return self._new[id(value)]

    def span(self, span: Span) -> Span:
        inside = span.file.startswith(self._before + os.sep)
        name = self._file_name(os.path.relpath(span.file, self._before)) if inside else span.file
        return dataclasses.replace(span, file=name, via=tuple(map(self.span, span.via)))

    def _holder(self, value: Value) -> Value:
        moved = with_entries(value, {key: self.value(item) for key, item in entries(value).items()})
        if isinstance(moved, Call):
            spec = moved.spec.replace(self._before, self._after)
            return dataclasses.replace(moved, spec=spec, span=self.span(moved.span))
        return dataclasses.replace(moved, span=self.span(moved.span)) if isinstance(moved, Var) else moved
