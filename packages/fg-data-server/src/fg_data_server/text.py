"""Documents of a local text file, by number."""

from __future__ import annotations

import json
import mmap
import os
from pathlib import Path
from typing import get_args

from fg_data_server.errors import (
    DatasetContentError,
    EmptyDatasetError,
    FingerprintMismatchError,
    SettingError,
    UnknownColumnError,
    check_choice,
    near_matches,
)
from fg_data_server.identity import FileStamp, existing_file, name_of
from fg_data_server.index import row_index
from fg_data_server.scan import Documents, open_bytes, scan_text
from fg_data_server.sources import RowBatch, RowNumbers, check_rows


class TextSource:
    """The documents of one UTF-8 file, under the column "text". The file is mapped, not loaded.

    path: the file.
    documents: what a document is: "blank_line" (text between blank lines), "line" (each line that is not blank),
        "jsonl" (a field of the JSON object on each line). By default "jsonl" for *.jsonl, else "blank_line".
    column: the JSON field ("jsonl" only).
    cache_dir: where the row index is kept; by default in the user's cache directory.

    A carriage return and line feed inside a document becomes a line feed.

    Raises:
        MissingDatasetError, EmptyDatasetError; and from `take` DatasetContentError (no UTF-8, no JSON),
        UnknownColumnError, FingerprintMismatchError (the file changed in place since it was opened).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        documents: Documents | None = None,
        column: str = "text",
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self._path = existing_file(path)
        kind: Documents = documents or ("jsonl" if self._path.suffix == ".jsonl" else "blank_line")
        check_choice("documents", kind, get_args(Documents))
        if column != "text" and kind != "jsonl":
            raise SettingError(f"column={column!r} means nothing for documents={kind!r}; leave it out.")
        self._documents, self._column = kind, column
        index = row_index(self._path, kind, lambda file: scan_text(file, kind), cache_dir=cache_dir)
        self._spans = index.spans
        if not len(self._spans):
            raise EmptyDatasetError(f"{self._path} holds no document (documents={kind!r}, {index.stamp.size} bytes).")
        self._data = self._open(index.stamp)
        recipe = {"documents": kind, "column": column, "files": [[index.stamp.size, index.digest]]}
        self._fingerprint = name_of({"format": "text-v1", **recipe})

    @property
    def path(self) -> Path:
        return self._path

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def num_rows(self) -> int:
        return len(self._spans)

    def take(self, rows: RowNumbers) -> RowBatch:
        numbers = check_rows(rows, self.num_rows)
        self._check_unchanged()
        read = self._json_text if self._documents == "jsonl" else self._plain_text
        spans = self._spans[numbers].tolist()
        texts = [read(row, start, stop) for row, (start, stop) in zip(numbers.tolist(), spans, strict=True)]
        return RowBatch(rows=numbers, columns={"text": texts})

    def _open(self, stamp: FileStamp) -> mmap.mmap | bytes:
        # The descriptor stays open so that a change in place is seen even after the name points elsewhere.
        self._stream = self._path.open("rb")
        self._stamp = stamp
        self._check_unchanged()
        return open_bytes(self._path)

    def _check_unchanged(self) -> None:
        if FileStamp.of(os.fstat(self._stream.fileno())) != self._stamp:
            raise FingerprintMismatchError(
                f"{self._path} was changed while it was in use. Start again; a run in progress needs the old content."
            )

    def _decode(self, row: int, start: int, stop: int) -> str:
        try:
            return self._data[start:stop].decode("utf-8")
        except UnicodeDecodeError as error:
            raise DatasetContentError(
                f"{self._path}: document {row} is not UTF-8: {error.reason} at byte {start + error.start}. "
                "Convert the file, for example with iconv -t UTF-8."
            ) from None

    def _plain_text(self, row: int, start: int, stop: int) -> str:
        return self._decode(row, start, stop).replace("\r\n", "\n")

    def _json_text(self, row: int, start: int, stop: int) -> str:
        place = f"{self._path}: document {row} (at byte {start})"
        try:
            record = json.loads(self._decode(row, start, stop))
        except json.JSONDecodeError as error:
            raise DatasetContentError(
                f"{place} is not JSON: {error.msg} in column {error.colno} of the line."
            ) from None
        if not isinstance(record, dict):
            raise DatasetContentError(f"{place} is a JSON {type(record).__name__}; an object is needed.")
        if self._column not in record:
            raise UnknownColumnError(f"{place} has no field {self._column!r}.{near_matches(self._column, record)}")
        text = record[self._column]
        if not isinstance(text, str):
            raise DatasetContentError(f"{place}: field {self._column!r} is {type(text).__name__}, not text.")
        return text
