"""Running a verb from the interactive shell: a process of its own, and a pager for what is long.

A fresh process sees changed files and code, and Ctrl-C ends it without ending the shell.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

_PAGED: Final = frozenset({"pp", "graph", "code", "construct", "dataset"})
_UNPAGED: Final = frozenset({"-o", "--output", "-e", "--edit", "-h", "--help"})


def run_command(command: Sequence[str], verb: str, words: Sequence[str]) -> int:
    """Run `command`, through a pager when `verb` prints much and the output is a terminal; its exit code."""
    pager = _pager() if verb in _PAGED and not _UNPAGED & set(words) and sys.stdout.isatty() else None
    with _leaving_ctrl_c_to_the_command():
        if pager is None:
            return subprocess.run(command, check=False).returncode
        return _run_paged(command, pager)


def _run_paged(command: Sequence[str], pager: Sequence[str]) -> int:
    """The command writes into the pager; the pager decides when all is read."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as producer:
        try:
            subprocess.run(pager, stdin=producer.stdout, check=False)
        finally:
            assert producer.stdout is not None
            producer.stdout.close()  # a pager that was left early ends the command
        return producer.wait()


def _pager() -> list[str] | None:
    """`$PAGER`, else less, which steps aside when everything fits on the screen."""
    named = shlex.split(os.environ.get("PAGER", ""))
    words = named or ["less", "-FRX"]
    return words if shutil.which(words[0]) else None


@contextmanager
def _leaving_ctrl_c_to_the_command() -> Iterator[None]:
    """A handler that does nothing, unlike an ignored signal, is not inherited: Ctrl-C reaches the command only."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
