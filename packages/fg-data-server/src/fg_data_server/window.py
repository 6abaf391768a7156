"""A window of rows, encoded and planned: the unit in which a stream works and the most it has to redo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fg_data_server.errors import SettingError
from fg_data_server.packing import PackingPlan
from fg_data_server.sources import RowBatch, RowNumbers, RowSource

Tokens: TypeAlias = NDArray[np.int64]
Encode: TypeAlias = Callable[[RowBatch], Sequence[NDArray[Any]]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One training sequence.

    input_ids: shape (tokens,), int64, at most `sequence_length` long, never padded. The caller owns it.
    document_starts: offsets in `input_ids` where a document, or a further piece of one, begins; shape (pieces,),
        int64, the first is 0.
    """

    input_ids: Tokens
    document_starts: Tokens


class Window:
    """Encoded rows and the plan that makes samples of them.

    first_row: position of the first row in the order of the epoch.
    """

    def __init__(self, first_row: int, encoded: Sequence[NDArray[Any]], plan: PackingPlan) -> None:
        self._first_row = first_row
        self._encoded = encoded
        self._plan = plan

    def __len__(self) -> int:
        return len(self._plan)

    def sample(self, sequence: int) -> Sample:
        pieces = [self._encoded[document][start:stop] for document, start, stop in self._plan.pieces(sequence)]
        starts = np.cumsum([0, *(len(piece) for piece in pieces[:-1])], dtype=np.int64)
        return Sample(input_ids=np.concatenate(pieces).astype(np.int64, copy=False), document_starts=starts)

    def sequence_from_row(self, position: int) -> int:
        """The first sequence whose document is at or after a position. For plans of one document per sequence."""
        return int(np.searchsorted(self._plan.documents, position - self._first_row))

    def row_of(self, sequence: int) -> int:
        """Position of the document of a sequence. For plans of one document per sequence."""
        return self._first_row + int(self._plan.documents[sequence])


def encode_rows(source: RowSource, rows: RowNumbers, encode: Encode) -> list[NDArray[Any]]:
    """Token ids of each row, each of shape (tokens,). Raises SettingError when `encode` returns something else."""
    encoded = [np.asarray(ids) for ids in encode(source.take(rows))]
    if len(encoded) != len(rows):
        raise SettingError(f"encode returned {len(encoded)} arrays for {len(rows)} rows; it must return one for each.")
    for row, ids in zip(rows.tolist(), encoded, strict=True):
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise SettingError(
                f"encode returned {ids.dtype} values of shape {ids.shape} for row {row}; "
                "it must return a list of token ids."
            )
    return encoded
