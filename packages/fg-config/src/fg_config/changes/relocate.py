"""A graph, or an error, as if its files were somewhere else: paths in texts, specs and spans."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass

from fg_config.changes.structure import is_holder, with_entries
from fg_config.errors import ConfigError, source_line
from fg_config.graph import Graph, entries
from fg_config.nodes import Call, Span, Value, Var


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocation:
    """The directory `before` is called `after` in texts; in spans, `file_name` makes a name of the relative path."""

    before: str
    after: str
    file_name: Callable[[str], str]

    def graph(self, graph: Graph) -> Graph:
        """`graph` as if it had been read there; layers are left out."""
        new: dict[int, Value] = {}
        root = self._value(graph.root, new)
        identity = {number: id(value) for number, value in new.items()}
        return dataclasses.replace(
            graph,
            root=root,
            spans={(identity[of], key): self._span(span) for (of, key), span in graph.spans.items() if of in new},
            item_keys={identity[of]: keys for of, keys in graph.item_keys.items() if of in new},
            layers={},
        )

    def error(self, error: ConfigError) -> ConfigError:
        """`error` with the source line it has now, for the file may be gone when it is shown."""
        moved = copy.copy(error)
        moved.message = self._text(error.message)
        moved.snippet = error.snippet or source_line(error.span)
        moved.span = None if error.span is None else self._span(error.span)
        moved.help = None if error.help is None else self._text(error.help)
        return moved

    def _text(self, text: str) -> str:
        return text.replace(self.before, self.after)

    def _span(self, span: Span) -> Span:
        inside = span.file.startswith(self.before + os.sep)
        name = self.file_name(os.path.relpath(span.file, self.before)) if inside else span.file
        return dataclasses.replace(span, file=name, via=tuple(map(self._span, span.via)))

    def _value(self, value: Value, new: dict[int, Value]) -> Value:
        """`value` moved; `new` remembers what became of every container and node, by its identity."""
        if isinstance(value, str):
            return self._text(value)
        if not is_holder(value):
            return value
        if id(value) not in new:
            new[id(value)] = self._holder(value, new)
        return new[id(value)]

    def _holder(self, value: Value, new: dict[int, Value]) -> Value:
        moved = with_entries(value, {key: self._value(item, new) for key, item in entries(value).items()})
        if isinstance(moved, Call):
            return dataclasses.replace(moved, spec=self._text(moved.spec), span=self._span(moved.span))
        return dataclasses.replace(moved, span=self._span(moved.span)) if isinstance(moved, Var) else moved
