"""One pass over a text file: where each document lies, and the name of the content."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fg_data_server.identity import new_digest

Documents: TypeAlias = Literal["blank_line", "line", "jsonl"]
Spans: TypeAlias = NDArray[np.int64]

_CHUNK_BYTES = 1 << 24
_NEWLINE, _RETURN = 0x0A, 0x0D
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NO_SPANS: Spans = np.empty((0, 2), dtype=np.int64)


def open_bytes(path: Path) -> mmap.mmap | bytes:
    """The bytes of a file, memory-mapped; an empty file cannot be mapped and is empty bytes."""
    with path.open("rb") as stream:
        if path.stat().st_size == 0:
            return b""
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def content_digest(path: Path) -> str:
    """The name of a file's bytes."""
    digest = new_digest()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def scan_text(path: Path, documents: Documents, *, chunk_bytes: int = _CHUNK_BYTES) -> tuple[str, Spans]:
    """Hash a file and find its documents, `chunk_bytes` at a time.

    Returns:
        the content's name, and byte offsets (start, stop) of each document, shape (documents, 2). Line ends
        around a document and a byte order mark at the start of the file belong to no document.
    """
    digest = new_digest()
    data = open_bytes(path)
    collect = _join_lines if documents == "blank_line" else _each_line
    spans = collect(_lines(data, digest.update, chunk_bytes))
    return digest.hexdigest(), spans


def _lines(
    data: mmap.mmap | bytes, consume: Callable[[bytes], object], chunk_bytes: int
) -> Iterator[tuple[Spans, NDArray[np.bool_]]]:
    """Byte spans of lines without their ends, and a mask of the blank ones, in chunks; `consume` sees every byte."""
    line_start = len(_BYTE_ORDER_MARK) if data[:3] == _BYTE_ORDER_MARK else 0
    for offset in range(0, len(data), chunk_bytes):
        chunk = data[offset : offset + chunk_bytes]
        consume(chunk)
        ends = np.flatnonzero(np.frombuffer(chunk, dtype=np.uint8) == _NEWLINE) + offset
        if offset + len(chunk) == len(data) and chunk[-1] != _NEWLINE:
            ends = np.append(ends, len(data))
        if ends.size:
            yield _line_spans(data, np.concatenate(([line_start], ends[:-1] + 1)), ends)
            line_start = int(ends[-1]) + 1


def _line_spans(data: mmap.mmap | bytes, starts: Spans, ends: Spans) -> tuple[Spans, NDArray[np.bool_]]:
    octets = np.frombuffer(data, dtype=np.uint8)
    returns = (ends > starts) & (octets[np.maximum(ends, 1) - 1] == _RETURN)
    stops = ends - returns
    # Only a line that begins with white space can be blank, so few lines are looked at one by one.
    blank = stops == starts
    for line in np.flatnonzero(~blank & (octets[np.minimum(starts, len(data) - 1)] <= 0x20)):
        blank[line] = not data[starts[line] : stops[line]].strip()
    return np.column_stack((starts, stops)), blank


def _each_line(chunks: Iterator[tuple[Spans, NDArray[np.bool_]]]) -> Spans:
    return np.concatenate([NO_SPANS, *(spans[~blank] for spans, blank in chunks)])


def _join_lines(chunks: Iterator[tuple[Spans, NDArray[np.bool_]]]) -> Spans:
    """Documents of neighbouring lines that are not blank; one may go on in the next chunk."""
    parts, open_document = [NO_SPANS], False
    for spans, blank in chunks:
        begins = np.flatnonzero(~blank & np.append(not open_document, blank[:-1]))
        finishes = np.flatnonzero(~blank & np.append(blank[1:], True))
        if open_document and not blank[0]:
            parts[-1][-1, 1] = spans[finishes[0], 1]
            finishes = finishes[1:]
        if begins.size:
            parts.append(np.column_stack((spans[begins, 0], spans[finishes, 1])))
        open_document = not blank[-1]
    return np.concatenate(parts)
