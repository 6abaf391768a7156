"""Names for content: equal names mean equal bytes, on any machine.

BLAKE2b (RFC 7693) comes with Python, needs no CPU extension and reads about 0.9 GB/s per core; 160 bits are far
from any accidental collision and keep a cursor below 300 bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from fg_data_server.errors import MissingDatasetError, near_matches

_DIGEST_BYTES = 20


def new_digest() -> hashlib.blake2b:
    """A running hash of the kind that every name here is made with."""
    return hashlib.blake2b(digest_size=_DIGEST_BYTES)


def name_of(value: Any) -> str:
    """40 hex digits that name a JSON value, whatever the order of its keys."""
    digest = new_digest()
    digest.update(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode())
    return digest.hexdigest()


def name_of_texts(texts: Iterable[str]) -> str:
    """40 hex digits that name a sequence of texts; where one ends and the next begins matters."""
    digest = new_digest()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStamp:
    """What the file system tells about a file without reading it. Another stamp may mean other content.

    size: bytes; mtime_ns: last change, nanoseconds since 1970.
    """

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        return cls(size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino)


_DATA_SUFFIXES: Final = (".arrow", ".jsonl", ".txt")
_MAKER: Final = "prepare_data.py"  # what a project calls the script that makes or downloads its data


def existing_file(path: str | os.PathLike[str]) -> Path:
    """`path` made absolute.

    Raises:
        MissingDatasetError: it is not a file; with similar names near it, or the project's script that makes it.
    """
    place = Path(path).expanduser().absolute()
    if place.is_file():
        return place
    if place.is_dir():
        raise MissingDatasetError(f"{place} is a directory; name a file in it.{near_matches('', _names_in(place))}")
    if place.parent.is_dir():
        reason = f".{near_matches(place.name, _names_in(place.parent))}"
    else:
        reason = f": the directory {place.parent} does not exist."
    raise MissingDatasetError(f"There is no data file {place}{reason}{_how_to_make(place)}")


def _how_to_make(place: Path) -> str:
    """A sentence on the script that makes the data of the project around `place`, if it has one."""
    project = next((directory for directory in place.parents if (directory / "meta.yaml").is_file()), None)
    if project is None or not (project / _MAKER).is_file():
        return ""
    return f" The data of this project is made by: python {shlex.quote(str(project / _MAKER))}"


def _names_in(directory: Path) -> list[str]:
    """Files that look like data: what else lies there is no help."""
    return [entry.name for entry in directory.iterdir() if entry.is_file() and entry.suffix in _DATA_SUFFIXES]
