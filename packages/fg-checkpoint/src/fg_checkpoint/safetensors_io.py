"""The safetensors layout, written as a stream with a checksum per tensor and read back against them.

A file is an 8-byte little-endian length, that many bytes of JSON header, and the tensors end to end
(https://github.com/huggingface/safetensors#format). The reference writer neither syncs nor checks: a flipped
bit or a zeroed page loads in silence. Here every tensor is hashed (xxh3-128) on its way to the disk, and the
header too, so that the checksums cover each byte of the file. They live in the manifest, which leaves the
file itself an ordinary safetensors file.

xxh3 finds accidents. It is no protection from somebody who wants to deceive.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np
import xxhash
from numpy.typing import NDArray

from fg_checkpoint.errors import Damage
from fg_checkpoint.manifest import FileRecord

CHUNK = 8 << 20  # bytes per write and per read: large enough to be free, small enough to stay in the cache
DTYPE_BYTES = {
    "F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "F8_E4M3": 1, "F8_E4M3FNUZ": 1, "F8_E5M2": 1, "F8_E5M2FNUZ": 1, "F8_E8M0": 1, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """A tensor that is going to be written."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], memoryview]
    """Fetches the bytes; called once, when it is this tensor's turn."""

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * DTYPE_BYTES[self.dtype]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTensor:
    """A tensor that was read: dtype and shape from the header, data as (nbytes,) uint8."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: NDArray[np.uint8]


def write_safetensors(path: Path, entries: Sequence[TensorEntry], *, metadata: Mapping[str, str]) -> FileRecord:
    """Write one file, sync it, and return the checksums that were computed on the way."""
    # Widest element first, as the reference writer does: every tensor then starts at a multiple of its element size.
    ordered = sorted(entries, key=lambda entry: -DTYPE_BYTES[entry.dtype])
    header = _header(entries, ordered, metadata)
    checksums: dict[str, str] = {}
    with path.open("xb", buffering=0) as stream:
        _write_all(stream, memoryview(header))
        for entry in ordered:
            checksums[entry.name] = _write_hashed(stream, entry.read())
        size = stream.tell()
        os.fsync(stream.fileno())
    return FileRecord(size=size, xxh3=xxhash.xxh3_128_hexdigest(header), tensors=checksums)


def write_bytes(path: Path, data: bytes) -> FileRecord:
    """Write one small file, sync it, and return its checksum."""
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return FileRecord(size=len(data), xxh3=xxhash.xxh3_128_hexdigest(data))


def read_metadata(path: Path) -> dict[str, str]:
    """The free text entries of a file's header."""
    with path.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return header.get("__metadata__", {})


def check_file(path: Path, record: FileRecord, on_tensor: Callable[[RawTensor], None] | None = None) -> list[Damage]:
    """Read a whole file and compare it with its record; `on_tensor` receives each tensor that is intact.

    Returns:
        What differs. Empty when every byte is the one that was written.
    """
    if not path.is_file():
        return [Damage(file=path.name, problem="is missing")]
    try:
        return _check_bytes(path, record, on_tensor)
    except OSError as error:  # a bad sector, a lost share: an older checkpoint may still be readable
        return [Damage(file=path.name, problem=f"cannot be read: {error.strerror}")]


def _check_bytes(path: Path, record: FileRecord, on_tensor: Callable[[RawTensor], None] | None) -> list[Damage]:
    with path.open("rb") as stream:
        damages = [] if record.tensors is None else list(_check_tensors(stream, path.name, record, on_tensor))
        if record.tensors is None and _hash_rest(stream) != record.xxh3:
            damages.append(Damage(file=path.name, problem="its contents changed (checksum mismatch)"))
        size = os.fstat(stream.fileno()).st_size
    if size != record.size:
        problem = f"has {size} bytes, {record.size} were written"
        damages.insert(0, Damage(file=path.name, problem=problem))
    return damages


def check_size(path: Path, record: FileRecord) -> list[Damage]:
    """The cheap half of `check_file`: the file is there and as long as it was."""
    if not path.is_file():
        return [Damage(file=path.name, problem="is missing")]
    size = path.stat().st_size
    return [] if size == record.size else [Damage(file=path.name, problem=f"has {size} bytes, not {record.size}")]


def _header(entries: Sequence[TensorEntry], ordered: Sequence[TensorEntry], metadata: Mapping[str, str]) -> bytes:
    """The header, which names the tensors in the caller's order; their data follows in that of `ordered`."""
    ends = dict(zip((entry.name for entry in ordered), accumulate(entry.nbytes for entry in ordered), strict=True))
    table: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    for entry in entries:
        offsets = [ends[entry.name] - entry.nbytes, ends[entry.name]]
        table[entry.name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": offsets}
    body = json.dumps(table, separators=(",", ":")).encode()
    body += b" " * (-len(body) % 8)  # the data starts aligned, so that it can be mapped
    return len(body).to_bytes(8, "little") + body


def _write_all(stream: BinaryIO, data: memoryview) -> None:
    while data:
        data = data[stream.write(data) :]  # a raw write may be short, and never takes more than 2 GiB on Linux


def _write_hashed(stream: BinaryIO, data: memoryview) -> str:
    digest = xxhash.xxh3_128()
    for start in range(0, len(data), CHUNK):
        chunk = data[start : start + CHUNK]
        digest.update(chunk)
        _write_all(stream, chunk)
    return digest.hexdigest()


def _check_tensors(
    stream: BufferedReader, file: str, record: FileRecord, on_tensor: Callable[[RawTensor], None] | None
) -> Iterator[Damage]:
    size = os.fstat(stream.fileno()).st_size
    prefix = stream.read(8)
    header = prefix + stream.read(min(int.from_bytes(prefix, "little"), size))
    if xxhash.xxh3_128_hexdigest(header) != record.xxh3:
        yield Damage(file=file, problem="its header changed, no tensor can be read")
        return
    scratch = np.empty(CHUNK, np.uint8)
    for name, info in json.loads(header[8:]).items():
        if name == "__metadata__":
            continue
        start, end = info["data_offsets"]
        data = np.empty(end - start, np.uint8) if on_tensor else None
        stream.seek(len(header) + start)
        if _hash_into(stream, end - start, scratch, data) != (record.tensors or {}).get(name):
            cut = f"cut off at byte {size}" if len(header) + end > size else "its values changed (checksum mismatch)"
            yield Damage(file=file, tensor=name, problem=cut)
        elif on_tensor and data is not None:
            on_tensor(RawTensor(name=name, dtype=info["dtype"], shape=tuple(info["shape"]), data=data))


def _hash_into(stream: BufferedReader, count: int, scratch: NDArray[np.uint8], data: NDArray[np.uint8] | None) -> str:
    """Hash the next `count` bytes, chunk by chunk while they are in the cache, keeping them in `data` if given."""
    digest = xxhash.xxh3_128()
    for start in range(0, count, CHUNK):
        length = min(CHUNK, count - start)
        target = (scratch[:length] if data is None else data[start : start + length]).data
        digest.update(target[: stream.readinto(target)])
    return digest.hexdigest()


def _hash_rest(stream: BinaryIO) -> str:
    digest = xxhash.xxh3_128()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
