"""Rows by number: what a source of data promises, and sources made of memory or of other sources."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fg_data_server.errors import (
    EmptyDatasetError,
    SettingError,
    UnknownColumnError,
    check_at_least,
    check_choice,
    near_matches,
)
from fg_data_server.identity import name_of, name_of_texts

RowNumbers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowBatch:
    """Some rows of a source.

    rows: their numbers in the source that was asked, shape (rows,).
    columns: one sequence of that length for each column.
    """

    rows: RowNumbers
    columns: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> Sequence[Any]:
        """The values of one column. Raises UnknownColumnError."""
        if name not in self.columns:
            raise UnknownColumnError(f"The rows have no column {name!r}.{near_matches(name, self.columns)}")
        return self.columns[name]

    @property
    def text(self) -> Sequence[str]:
        """The column named "text"."""
        return self.column("text")


class RowSource(Protocol):
    """Immutable rows, numbered from 0.

    fingerprint: names the content, equal for equal content on any machine.
    """

    @property
    def fingerprint(self) -> str: ...

    @property
    def num_rows(self) -> int: ...

    def take(self, rows: RowNumbers) -> RowBatch:
        """These rows, in this order; repeats are allowed."""
        ...


def check_rows(rows: RowNumbers, num_rows: int) -> RowNumbers:
    """`rows` as int64. Raises SettingError when a number is outside the source."""
    numbers = np.asarray(rows, dtype=np.int64)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= num_rows):
        raise SettingError(f"rows {numbers.min()} to {numbers.max()} were asked of a source of {num_rows} rows.")
    return numbers


class ListSource:
    """Texts in memory, under the column "text"."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = tuple(texts)
        for row, text in enumerate(self._texts):
            if not isinstance(text, str):
                raise SettingError(f"row {row} of a ListSource is {type(text).__name__}, not str.")

    @functools.cached_property
    def fingerprint(self) -> str:
        return name_of({"format": "list-v1", "texts": name_of_texts(self._texts)})

    @property
    def num_rows(self) -> int:
        return len(self._texts)

    def take(self, rows: RowNumbers) -> RowBatch:
        numbers = check_rows(rows, self.num_rows)
        return RowBatch(rows=numbers, columns={"text": [self._texts[row] for row in numbers]})


class SliceSource:
    """A part of another source, chosen by row number alone and therefore the same on every machine and in every run.

    Of the rows `start … stop - 1` every `every`-th one, counted from `offset`, is the selection; `part` asks for it
    or for the rest. `SliceSource(s, every=32)` and `SliceSource(s, every=32, part="rest")` are an evaluation and a
    training split that share no row and leave none out.
    """

    def __init__(
        self,
        source: RowSource,
        *,
        start: int = 0,
        stop: int | None = None,
        every: int = 1,
        offset: int = 0,
        part: Literal["selection", "rest"] = "selection",
    ) -> None:
        check_choice("part", part, ("selection", "rest"))
        check_at_least("every", every, 1)
        end = source.num_rows if stop is None else stop
        if not 0 <= start <= end <= source.num_rows:
            raise SettingError(f"rows {start} to {end} are not within the {source.num_rows} rows of the source.")
        if not 0 <= offset < every:
            raise SettingError(f"offset is {offset}; it must be at least 0 and below every={every}.")
        self._source, self._start, self._every, self._offset, self._part = source, start, every, offset, part
        selected = max(0, -(-(end - start - offset) // every))
        self._num_rows = selected if part == "selection" else end - start - selected
        if self._num_rows == 0:
            raise EmptyDatasetError(
                f"The {part} of rows {start} to {end} with every={every}, offset={offset} holds no row "
                f"(the source has {source.num_rows}).{_least(every, offset, part)}"
            )
        recipe = {"start": start, "stop": end, "every": every, "offset": offset, "part": part}
        self._fingerprint = name_of({"format": "slice-v1", "of": source.fingerprint, **recipe})

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def num_rows(self) -> int:
        return self._num_rows

    def take(self, rows: RowNumbers) -> RowBatch:
        numbers = check_rows(rows, self.num_rows)
        return RowBatch(rows=numbers, columns=self._source.take(self._outer(numbers)).columns)

    def _outer(self, rows: RowNumbers) -> RowNumbers:
        """Row numbers of the source that this one is a part of."""
        if self._part == "selection":
            return self._start + self._offset + rows * self._every
        period, place = np.divmod(rows, self._every - 1)
        return self._start + period * self._every + place + (place >= self._offset)


def _least(every: int, offset: int, part: str) -> str:
    """A sentence on how many rows are enough for a part of them."""
    if part == "rest" and every == 1:
        return " With every=1 all rows are the selection."
    least = offset + 1 if part == "selection" else 2 - min(offset, 1)
    return f" It needs at least {least} {'row' if least == 1 else 'rows'}; the rows of a text are its documents."


class ConcatSource:
    """Several sources one after the other, for data in more than one file. All must have the same columns."""

    def __init__(self, sources: Sequence[RowSource]) -> None:
        if not sources:
            raise EmptyDatasetError("A ConcatSource needs at least one source.")
        self._sources = tuple(sources)
        counts = [source.num_rows for source in self._sources]
        self._starts = np.array([0, *itertools.accumulate(counts)], dtype=np.int64)
        self._fingerprint = name_of({"format": "concat-v1", "of": [source.fingerprint for source in self._sources]})

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def num_rows(self) -> int:
        return int(self._starts[-1])

    def take(self, rows: RowNumbers) -> RowBatch:
        numbers = check_rows(rows, self.num_rows)
        owner = np.searchsorted(self._starts, numbers, side="right") - 1
        columns: dict[str, list[Any]] = {}
        for number in np.unique(owner):
            places = np.flatnonzero(owner == number)
            part = self._sources[number].take(numbers[places] - self._starts[number])
            if columns and columns.keys() != part.columns.keys():
                raise UnknownColumnError(
                    f"Source {number} of a ConcatSource has the columns {', '.join(part.columns)}; "
                    f"others have {', '.join(columns)}."
                )
            for name, values in part.columns.items():
                _scatter(columns.setdefault(name, [None] * len(numbers)), places, values)
        return RowBatch(rows=numbers, columns=columns)


def _scatter(target: list[Any], places: RowNumbers, values: Sequence[Any]) -> None:
    for place, value in zip(places.tolist(), values, strict=True):
        target[place] = value
