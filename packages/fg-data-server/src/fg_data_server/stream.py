"""Training samples by position: the same cursor gives the same samples, in any process, however the run is cut up."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from fg_data_server.cursor import Cursor
from fg_data_server.errors import (
    CursorError,
    EmptyDatasetError,
    FingerprintMismatchError,
    SettingError,
    ViewMismatchError,
    check_at_least,
    check_choice,
)
from fg_data_server.identity import name_of
from fg_data_server.order import Order
from fg_data_server.packing import PackingPlan, Strategy
from fg_data_server.sources import RowSource
from fg_data_server.window import Encode, Sample, Window, encode_rows

_logger = logging.getLogger(__name__)

_PROGRESS_SECONDS = 5.0


class SampleStream:
    """Rows in their order, encoded and packed, as an endless sequence of samples.

    Immutable but for a cache of two windows; `next` is a function of its arguments.

    source: the rows.
    encode: turns a batch of rows into one array of token ids per row, special tokens included. Must be a pure
        function; a row without tokens is passed over.
    encode_id: names what `encode` does (a hash of tokenizer and settings, say); part of the view.
    order: the order of rows in each epoch.
    sequence_length: tokens of a sample at most; None for no limit (only without packing).
    packing: "greedy" or "best_fit" (see PackingPlan), planned anew for each window of rows; None makes each document
        one sample and drops what is longer than `sequence_length`.
    window_rows: rows that are encoded, and with packing planned, together. A sequence never spans two windows.

    Raises:
        SettingError: settings that cannot work. EmptyDatasetError: no row.
    """

    def __init__(
        self,
        source: RowSource,
        *,
        encode: Encode,
        encode_id: str,
        order: Order,
        sequence_length: int | None,
        packing: Strategy | None,
        window_rows: int = 4096,
    ) -> None:
        check_at_least("window_rows", window_rows, 1)
        if sequence_length is not None:
            check_at_least("sequence_length", sequence_length, 1)
        if packing is not None:
            check_choice("packing", packing, get_args(Strategy))
            if sequence_length is None:
                raise SettingError(f"packing={packing!r} needs a sequence_length.")
        if not encode_id:
            raise SettingError("encode_id is empty; it must name the tokenizer and its settings.")
        if source.num_rows == 0:
            raise EmptyDatasetError("The data source has no row.")
        self._source, self._encode, self._order = source, encode, order
        self._sequence_length, self._packing, self._window_rows = sequence_length, packing, window_rows
        self._recipe = self._describe(encode_id)
        self._view = name_of({"fingerprint": source.fingerprint, **self._recipe})
        self._window = functools.lru_cache(maxsize=2)(self._make_window)
        self._row_tokens: NDArray[np.int32] | None = None

    @property
    def view(self) -> str:
        """Names data, order, encoding and packing together, 40 hex digits."""
        return self._view

    def start(self) -> Cursor:
        """The position before the first sample of epoch 0."""
        return Cursor(view=self._view, fingerprints=(self._source.fingerprint,))

    def next(self, cursor: Cursor, n: int, *, epochs: int | None = None) -> tuple[list[Sample], Cursor]:
        """The `n` samples after `cursor`, and the position after them.

        Epoch follows epoch without end, unless `epochs` limits their number: then fewer samples come back at the end.
        Reading `n` samples at once or in any parts gives the same samples and the same last cursor.

        Raises:
            FingerprintMismatchError, ViewMismatchError, CursorError: the cursor belongs elsewhere.
            EmptyDatasetError: no row of the data encodes to a token.
        """
        check_at_least("n", n, 0)
        self._check(cursor)
        samples: list[Sample] = []
        empty_windows = 0
        while len(samples) < n and (epochs is None or cursor.epoch < epochs):
            number = self._window_number(cursor)
            window = self._window(cursor.epoch, number)
            part, cursor = self._read(cursor, window, n - len(samples))
            samples += part
            empty_windows = 0 if len(window) else empty_windows + 1
            if number == self._num_windows - 1 and empty_windows >= self._num_windows:
                raise EmptyDatasetError(f"None of the {self._source.num_rows} rows of the data encodes to a token.")
        return samples, cursor

    def one_pass(self, epoch: int = 0) -> Iterator[Sample]:
        """Every sample of one epoch, for evaluation."""
        cursor = replace(self.start(), epoch=epoch)
        while True:
            samples, cursor = self.next(cursor, 64, epochs=epoch + 1)
            if not samples:
                return
            yield from samples

    def epochs(self, cursor: Cursor) -> float:
        """Passes over the data before `cursor`, counted in rows, and inside a packed window in its sequences."""
        self._check(cursor)
        rows = float(cursor.position)
        if cursor.pack_sequence:
            window = self._window(cursor.epoch, cursor.pack_window)
            window_rows = min(self._window_rows, self._source.num_rows - cursor.position)
            rows += window_rows * cursor.pack_sequence / len(window)
        return cursor.epoch + rows / self._source.num_rows

    def length(self, epoch: int = 0) -> int:
        """Exact number of samples of an epoch.

        The first call encodes all rows once to learn their token counts (progress is logged) and keeps 4 bytes per
        row; later calls, also for other epochs, only plan. With packing epochs may differ by a few samples.
        """
        if self._row_tokens is None:
            self._row_tokens = self._count_tokens()
        rows = (self._rows(epoch, window) for window in range(self._num_windows))
        return sum(len(self._plan(self._row_tokens[part])) for part in rows)

    @property
    def _num_windows(self) -> int:
        return -(-self._source.num_rows // self._window_rows)

    def _describe(self, encode_id: str) -> dict[str, Any]:
        """What the view depends on besides the data; windows matter only to packing."""
        recipe = {
            "format": "samples-v1",
            "encode_id": encode_id,
            "order": self._order.recipe(),
            "sequence_length": self._sequence_length,
            "packing": self._packing,
        }
        return recipe | ({"window_rows": self._window_rows} if self._packing else {})

    def _check(self, cursor: Cursor) -> None:
        if cursor.fingerprints != (self._source.fingerprint,):
            raise FingerprintMismatchError(
                f"The data has changed: the saved position belongs to data {', '.join(cursor.fingerprints)}, "
                f"but the source is {self._source.fingerprint}. Restore the old data, or start the data anew by "
                "leaving the saved position out."
            )
        if cursor.view != self._view:
            raise ViewMismatchError(
                f"The data is the same but would be read differently: the saved position is of view {cursor.view}, "
                f"the settings make view {self._view}. They are now {self._recipe}. Put back those of the saved run, "
                "or start the data anew by leaving the saved position out."
            )
        if cursor.position >= self._source.num_rows:
            raise CursorError(f"The data cursor is at row {cursor.position} of {self._source.num_rows}.")
        if self._packing and cursor.position != cursor.pack_window * self._window_rows:
            raise CursorError(
                f"The data cursor is at row {cursor.position}, but its window {cursor.pack_window} begins elsewhere."
            )

    def _window_number(self, cursor: Cursor) -> int:
        return cursor.pack_window if self._packing else cursor.position // self._window_rows

    def _rows(self, epoch: int, window: int) -> NDArray[np.int64]:
        start = window * self._window_rows
        count = min(self._window_rows, self._source.num_rows - start)
        return self._order.rows(num_rows=self._source.num_rows, epoch=epoch, start=start, count=count)

    def _plan(self, lengths: NDArray[Any]) -> PackingPlan:
        if self._packing is None:
            return PackingPlan.unpacked(lengths, sequence_length=self._sequence_length)
        assert self._sequence_length is not None  # checked at construction
        return PackingPlan.of(lengths, sequence_length=self._sequence_length, strategy=self._packing)

    def _make_window(self, epoch: int, number: int) -> Window:
        encoded = encode_rows(self._source, self._rows(epoch, number), self._encode)
        lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
        return Window(number * self._window_rows, encoded, self._plan(lengths))

    def _read(self, cursor: Cursor, window: Window, wanted: int) -> tuple[list[Sample], Cursor]:
        """At most `wanted` samples of the window that the cursor is in, and the position after them."""
        first = cursor.pack_sequence if self._packing else window.sequence_from_row(cursor.position)
        if first > len(window):
            raise CursorError(f"The data cursor is at sequence {first} of a window of {len(window)}.")
        last = min(first + wanted, len(window))
        samples = [window.sample(sequence) for sequence in range(first, last)]
        tokens = cursor.consumed_tokens + sum(len(sample.input_ids) for sample in samples)
        if last == len(window):
            return samples, replace(self._after_window(cursor), consumed_tokens=tokens)
        if self._packing:
            return samples, replace(cursor, pack_sequence=last, consumed_tokens=tokens)
        return samples, replace(cursor, position=window.row_of(last - 1) + 1, consumed_tokens=tokens)

    def _after_window(self, cursor: Cursor) -> Cursor:
        number = self._window_number(cursor) + 1
        if number == self._num_windows:
            return replace(cursor, epoch=cursor.epoch + 1, position=0, pack_window=0, pack_sequence=0)
        window = number if self._packing else 0
        return replace(cursor, position=number * self._window_rows, pack_window=window, pack_sequence=0)

    def _count_tokens(self) -> NDArray[np.int32]:
        """Token count of every row, in the order of the source."""
        num_rows = self._source.num_rows
        counts = np.empty(num_rows, dtype=np.int32)
        last_report = time.monotonic()
        for start in range(0, num_rows, self._window_rows):
            rows = np.arange(start, min(start + self._window_rows, num_rows), dtype=np.int64)
            counts[rows] = [len(ids) for ids in encode_rows(self._source, rows, self._encode)]
            if time.monotonic() - last_report > _PROGRESS_SECONDS:
                last_report = time.monotonic()
                _logger.info("Counted the tokens of %d of %d rows", rows[-1] + 1, num_rows)
        return counts
