"""One process at a time in a directory: every rank of a run calls the same build, the first one does it."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from fg_models.errors import DirectoryBusyError

logger = logging.getLogger(__name__)


@contextmanager
def locked(target: Path, *, timeout: float = 300.0, poll: float = 0.1) -> Generator[None]:
    """Hold the lock file `<target>.lock` (flock: released by the kernel when a process dies).

    `timeout` and `poll` are in seconds. Raises `DirectoryBusyError` when the lock stays taken.
    """
    path = target.with_name(f".{target.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        _acquire(stream.fileno(), path, timeout, poll)
        yield  # closing the file releases the lock


def _acquire(fd: int, path: Path, timeout: float, poll: float) -> None:
    deadline = time.monotonic() + timeout
    announced = False
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise DirectoryBusyError(
                    f"{path} has been locked by another process for {timeout:g} seconds; "
                    "wait for the other run, or choose another output directory"
                ) from None
            if not announced:
                logger.info("waiting for another process to finish with %s", path)
                announced = True
            time.sleep(poll)
