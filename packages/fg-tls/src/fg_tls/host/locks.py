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
            StoreError: another process holds it for longer than `longest_wait` seconds.
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
        # A file, not the directory: NFS locks only what is open for writing. Whatever the umask was, we can open it.
        self._path.touch(0o600)
        self._path.chmod(0o600)
        fd = os.open(self._path, os.O_RDWR)
        try:
            _lock(fd, self._path, time.monotonic() + longest_wait)
        except BaseException:  # Ctrl-C too must not leave the file open
            os.close(fd)
            raise
        return fd


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
