"""The lines that were typed, kept per workspace and shared by the shells that are open in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

FILE_NAME: Final = ".forgather_history"
LIMIT: Final = 1000


class History:
    """The file of one workspace. Every access holds a lock, so that two shells never mix their lines."""

    def __init__(self, workspace: Path) -> None:
        self.file = workspace / FILE_NAME

    def lines(self) -> list[str]:
        """The newest lines, oldest first; older ones are dropped from the file here."""
        with self._locked() as stream:
            lines = stream.read().splitlines()
            if len(lines) > LIMIT:
                lines = lines[-LIMIT:]
                stream.seek(0)
                stream.truncate()
                stream.write("".join(f"{line}\n" for line in lines))
            return lines

    def append(self, line: str) -> None:
        """Add a line at the end."""
        with self._locked() as stream:
            stream.seek(0, os.SEEK_END)
            stream.write(f"{line}\n")

    @contextmanager
    def _locked(self) -> Iterator[IO[str]]:
        descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600)  # command lines may hold what is private
        with os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream
            stream.flush()
