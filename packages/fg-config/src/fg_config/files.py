"""Files that are either the old content or the new one, and never readable by others when they hold secrets."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path


def fsync_directory(path: Path) -> None:
    """Make the directory entries below `path` durable (a rename is not, until its directory is synced)."""
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def atomic_write(path: str | os.PathLike[str], data: str | bytes, *, mode: int = 0o644) -> None:
    """Replace `path` with `data`; a reader sees the old bytes or the new ones, also after a crash.

    The temporary file gets `mode` when it is created, so a secret (0o600) is never readable by others.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such directory", str(target.parent))
    try:
        _replace(target, data.encode() if isinstance(data, str) else data, mode)
    except OSError as error:  # whose file is the temporary one or none; the user knows `path`
        raise OSError(error.errno, error.strerror, str(target)) from error
    fsync_directory(target.parent)


def _replace(target: Path, data: bytes, mode: int) -> None:
    fd, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    try:
        os.fchmod(fd, mode)
        with os.fdopen(fd, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(target)
    except BaseException:  # Ctrl-C too must not leave the temporary file behind
        Path(temporary).unlink(missing_ok=True)
        raise


def atomic_symlink(link: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Point `link` at `target`, replacing what was there in one step."""
    place = Path(link)
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(place)
    fsync_directory(place.parent)


def private_directory(path: str | os.PathLike[str]) -> Path:
    """Create `path` (and parents) readable by this user only, and return it."""
    directory = Path(path)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    return directory
