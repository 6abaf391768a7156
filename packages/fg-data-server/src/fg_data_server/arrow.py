"""Rows of Arrow IPC files (as `datasets` writes them), by number. Needs the extra "datasets" (pyarrow)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fg_data_server.errors import (
    DatasetContentError,
    EmptyDatasetError,
    FingerprintMismatchError,
    MissingExtraError,
    UnknownColumnError,
    near_matches,
)
from fg_data_server.identity import FileStamp, existing_file, name_of
from fg_data_server.index import row_index
from fg_data_server.scan import NO_SPANS, Spans, content_digest
from fg_data_server.sources import RowBatch, RowNumbers, check_rows

if TYPE_CHECKING:
    import pyarrow


class ArrowSource:
    """The rows of one Arrow IPC file or stream. The file is mapped; only the rows that are taken become objects.

    columns: the columns to read, by default all.
    cache_dir: where the file's hash is kept; by default in the user's cache directory.

    Raises:
        MissingDatasetError, MissingExtraError (no pyarrow), DatasetContentError (not Arrow IPC), UnknownColumnError,
        EmptyDatasetError; FingerprintMismatchError from `take` (the file changed since it was opened).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        columns: Sequence[str] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self._path = existing_file(path)
        index = row_index(self._path, "arrow", _digest_only, cache_dir=cache_dir)
        self._stamp = index.stamp
        schema, self._batches = _open_batches(self._path)
        self._columns = _known_columns(self._path, schema, columns)
        counts = [batch.num_rows for batch in self._batches]
        self._starts = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
        if not self.num_rows:
            raise EmptyDatasetError(f"{self._path} holds no row.")
        recipe = {"columns": list(self._columns), "files": [[index.stamp.size, index.digest]]}
        self._fingerprint = name_of({"format": "arrow-v1", "schema": _schema_text(schema), **recipe})

    @property
    def path(self) -> Path:
        return self._path

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def num_rows(self) -> int:
        return int(self._starts[-1])

    def take(self, rows: RowNumbers) -> RowBatch:
        numbers = check_rows(rows, self.num_rows)
        if FileStamp.of(self._path.stat()) != self._stamp:
            raise FingerprintMismatchError(f"{self._path} was changed while it was in use. Start again.")
        return RowBatch(rows=numbers, columns={name: self._gather(name, numbers) for name in self._columns})

    def _gather(self, name: str, rows: RowNumbers) -> list[Any]:
        """Take from each record batch once, in the order of the file, then put the values into the order asked."""
        import pyarrow

        by_place = np.argsort(rows, kind="stable")
        ordered = rows[by_place]
        edges = np.searchsorted(ordered, self._starts)
        values: list[Any] = []
        for number in np.flatnonzero(np.diff(edges)):
            local = ordered[edges[number] : edges[number + 1]] - self._starts[number]
            values += self._batches[number].column(name).take(pyarrow.array(local)).to_pylist()
        result: list[Any] = [None] * len(rows)
        for place, value in zip(by_place.tolist(), values, strict=True):
            result[place] = value
        return result


def _digest_only(path: Path) -> tuple[str, Spans]:
    return content_digest(path), NO_SPANS


def _open_batches(path: Path) -> tuple[pyarrow.Schema, list[pyarrow.RecordBatch]]:
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise MissingExtraError(
            f"Reading {path} needs pyarrow; install it with: pip install 'fg-data-server[datasets]'"
        ) from None
    mapped = pyarrow.memory_map(os.fspath(path))
    try:
        if mapped.read(6) == b"ARROW1":
            reader = pyarrow.ipc.open_file(mapped)
            return reader.schema, [reader.get_batch(number) for number in range(reader.num_record_batches)]
        mapped.seek(0)
        stream = pyarrow.ipc.open_stream(mapped)
        return stream.schema, list(stream)
    except pyarrow.ArrowInvalid as error:
        raise DatasetContentError(f"{path} is not an Arrow IPC file or stream: {error}") from None


def _known_columns(path: Path, schema: pyarrow.Schema, columns: Sequence[str] | None) -> tuple[str, ...]:
    for name in columns or ():
        if name not in schema.names:
            raise UnknownColumnError(f"{path} has no column {name!r}.{near_matches(name, schema.names)}")
    return tuple(columns if columns is not None else schema.names)


def _schema_text(schema: pyarrow.Schema) -> list[list[str]]:
    return [[field.name, str(field.type)] for field in schema]
