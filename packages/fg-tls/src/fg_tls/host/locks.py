"""One writer at a time, over processes and threads; a lock ends with the process that holds it, also after SIGKILL."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fg_tls.errors import StoreError

_LONGEST_WAIT: Final = 30.0  # seconds
_PAUSE: Final = 0.02


class FileLock:
    """An exclusive lock on a file, which is created when it is missing. The thread that holds it may take it again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.RLock()
        self._depth = 0

    @contextmanager
    def held(self, longest_wait: float = _LONGEST_WAIT) -> Iterator[None]:
        """Hold the lock for the block.

        Raises:
            StoreError: another process holds it for longer than `longest_wait` seconds, or the file cannot be written.
        """
        with self._threads:
            fd = self._opened(longest_wait) if self._depth == 0 else None
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if fd is not None:
                    os.close(fd)

    def _opened(self, longest_wait: float) -> int:
        deadline = time.monotonic() + longest_wait
        try:
            while True:
                fd = _locked(self._path, deadline)
                if _is_at(fd, self._path):
                    return fd
                os.close(fd)  # it was removed or moved away while we waited, and others lock the one there is now
        except OSError as error:
            raise StoreError(f"cannot write to {self._path.parent}: {error.strerror or error}") from error


def _locked(path: Path, deadline: float) -> int:
    # A file, not the directory: NFS locks only what is open for writing. Whatever the umask was, we can open it.
    path.touch(0o600)
    path.chmod(0o600)
    fd = os.open(path, os.O_RDWR)
    try:
        _lock(fd, path, deadline)
    except BaseException:  # Ctrl-C too must not leave the file open
        os.close(fd)
        raise
    return fd


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _lock(fd: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"another program has been writing to {path.parent} for too long; end it and try again"
                ) from None
            time.sleep(_PAUSE)
        else:
            return
