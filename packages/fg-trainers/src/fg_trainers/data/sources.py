"""Datasets that are already token ids in memory, as the same kind of stream that every other dataset is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fg_data_server import Order, RowBatch, SampleStream
from fg_trainers.errors import DatasetError
from fg_trainers.interfaces import SampleSource

ENCODING = "input_ids-v1"


class TokenSource:
    """Rows that are sequences of token ids; a `fg_data_server.RowSource` with the column `input_ids`."""

    def __init__(self, dataset: Sequence[Any]) -> None:
        if len(dataset) == 0:
            raise DatasetError("the dataset is empty")
        self._rows = [_token_ids(item, number) for number, item in enumerate(dataset)]
        digest = hashlib.blake2b(digest_size=20)
        for row in self._rows:
            digest.update(len(row).to_bytes(8, "little"))
            digest.update(row.tobytes())
        self.fingerprint = digest.hexdigest()
        self.num_rows = len(self._rows)

    def take(self, rows: NDArray[np.int64]) -> RowBatch:
        """The rows with these numbers, in this order."""
        return RowBatch(rows=rows, columns={"input_ids": [self._rows[row] for row in rows]})


def as_stream(dataset: SampleSource | Sequence[Any], *, seed: int | None) -> SampleSource:
    """`dataset` itself if it is a stream; else its rows, one sample each, shuffled by `seed` (None keeps their order).

    Raises:
        DatasetError: the dataset is empty or of a form that cannot be read by position.
    """
    if hasattr(dataset, "next") and hasattr(dataset, "start"):
        return cast(SampleSource, dataset)
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise DatasetError(
            f"a dataset of type {type(dataset).__name__} cannot be read by position; give a sequence of token ids, of "
            "mappings with 'input_ids', or a stream made by text_dataset()"
        )
    source = TokenSource(cast(Sequence[Any], dataset))
    order = Order(algo="sequential", seed=0) if seed is None else Order(algo="feistel-v1", seed=max(0, seed))
    return SampleStream(source, encode=_input_ids, encode_id=ENCODING, order=order, sequence_length=None, packing=None)


def _input_ids(batch: RowBatch) -> list[NDArray[np.int64]]:
    return list(batch.columns["input_ids"])


def _token_ids(item: Any, number: int) -> NDArray[np.int64]:
    ids = np.asarray(item["input_ids"] if isinstance(item, Mapping) else item)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise DatasetError(f"row {number} of the dataset is no sequence of token ids: {item!r:.80}")
    return ids.astype(np.int64)
