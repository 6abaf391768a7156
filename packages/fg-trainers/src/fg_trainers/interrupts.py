"""Ctrl-C: the first press saves and stops, the second aborts."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Generator
from dataclasses import dataclass
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class Interrupt:
    """The signal that asked the run to stop, if one did."""

    signal: signal.Signals | None = None


@contextlib.contextmanager
def graceful_interrupts() -> Generator[Interrupt]:
    """While active, the first SIGINT or SIGTERM is recorded, and a second one raises KeyboardInterrupt.

    Outside the main thread signals cannot be handled; the run then behaves as if none arrived.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if interrupt.signal is not None:
            raise KeyboardInterrupt
        interrupt.signal = signal.Signals(number)
        # Not the logger: a handler may interrupt a write of the same stream, and buffered streams do not re-enter.
        os.write(2, b"\nstopping: finishing and saving this update first; a second signal aborts without saving\n")

    previous = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield interrupt
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
