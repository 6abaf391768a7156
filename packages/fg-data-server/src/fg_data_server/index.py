"""Where the rows of a file lie, kept next to the user's caches so that a known file opens in milliseconds.

The cache is trusted while path, size, modification time and inode are what they were when the file was read.
It may be deleted at any time.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fg_config import paths
from fg_config.files import atomic_write, private_directory
from fg_data_server.errors import FingerprintMismatchError
from fg_data_server.identity import FileStamp, name_of
from fg_data_server.scan import NO_SPANS, Spans

_logger = logging.getLogger(__name__)

_MAGIC = b"FGROWS01"
# A file that changed this recently may change again within the same time stamp, so its cache is not trusted
# (the "racy git" problem: https://git-scm.com/docs/racy-git).
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RowIndex:
    """What is known of a file after reading it once.

    digest: name of its bytes; stamp: the file when it was read; spans: (start, stop) byte offsets of its rows,
    shape (rows, 2), empty for formats that carry their own index.
    """

    digest: str
    stamp: FileStamp
    spans: Spans


def row_index(
    path: Path, kind: str, scan: Callable[[Path], tuple[str, Spans]], *, cache_dir: str | os.PathLike[str] | None
) -> RowIndex:
    """The index of `path`, from the cache when that still describes the file, else by `scan`.

    kind: what `scan` looks for; each kind has its own cache entry.
    cache_dir: None is `rows` in the user's cache directory; nothing is kept where the user has none.

    Raises:
        FingerprintMismatchError: the file changed while it was read.
    """
    sidecar = _sidecar(path, kind, cache_dir)
    stamp = FileStamp.of(path.stat())
    known = None if sidecar is None else _read(sidecar, stamp)
    if known is not None:
        return known
    _logger.info("Reading %s (%.1f MB) to find its rows", path, stamp.size / 1e6)
    digest, spans = scan(path)
    if FileStamp.of(path.stat()) != stamp:
        raise FingerprintMismatchError(f"{path} changed while it was being read; run again when it is complete.")
    index = RowIndex(digest=digest, stamp=stamp, spans=spans)
    if sidecar is not None and time.time_ns() - stamp.mtime_ns > _SETTLED_NS:
        _write(sidecar, index)
    return index


def _sidecar(path: Path, kind: str, directory: str | os.PathLike[str] | None) -> Path | None:
    """The cache entry of `path`; None where nothing is kept."""
    if directory is None:
        user = paths.cache_dir()
        if user is None:
            return None
        directory = user / "rows"
    return Path(directory) / f"{name_of([os.fspath(path.resolve()), kind])}.rows"


def _write(sidecar: Path, index: RowIndex) -> None:
    header = json.dumps({"digest": index.digest, "rows": len(index.spans), **asdict(index.stamp)}).encode()
    header = header.ljust(-(-len(header) // 64) * 64)
    start = _MAGIC + len(header).to_bytes(8, "little")
    try:
        private_directory(sidecar.parent)
        atomic_write(sidecar, start + header + index.spans.astype("<i8").tobytes())
    except OSError as error:  # a full or read-only disk costs the next start some time, nothing else
        _logger.warning("Cannot keep the row index in %s (%s); it will be made again next time", sidecar, error)


def _read(sidecar: Path, stamp: FileStamp) -> RowIndex | None:
    """The cached index, or None when there is none, it is damaged, or it describes another state of the file."""
    if not sidecar.is_file():
        return None
    try:
        with sidecar.open("rb") as stream:
            magic, length = stream.read(8), int.from_bytes(stream.read(8), "little")
            if magic != _MAGIC or length > 1 << 16:
                raise ValueError("not a row index")
            header = json.loads(stream.read(length))
            offset = stream.tell()
        rows, digest = int(header.pop("rows")), str(header.pop("digest"))
        known = FileStamp(**header)
        if sidecar.stat().st_size != offset + 16 * rows:
            raise ValueError("cut short")
    except (OSError, ValueError, TypeError, KeyError) as error:
        _logger.warning("The row index %s cannot be used (%s); making it again", sidecar, error)
        return None
    if known != stamp:
        return None
    spans = np.memmap(sidecar, dtype="<i8", mode="r", offset=offset, shape=(rows, 2)) if rows else NO_SPANS
    return RowIndex(digest=digest, stamp=stamp, spans=spans)
