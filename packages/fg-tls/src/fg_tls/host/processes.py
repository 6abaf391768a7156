"""Which process a file speaks of, so that another one with its number is not taken for it.

Numbers of processes are used again, after a restart of the machine almost in the same order. What tells two of them
apart is when they began, counted from the start of the machine: times of day jump when a clock is set. Directories of
users may be shared by machines and containers, whose numbers mean nothing here.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Self

_RESOLUTION: Final = 1.0  # seconds; the start of the machine is known to the second only


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessMark:
    """A process, for good."""

    pid: int
    started: float  # seconds after the machine
    machine: str  # its host name
    boot: str  # which start of the machine; empty where the system does not say
    space: str  # the namespace of process numbers: that of a container is another one

    @classmethod
    def own(cls) -> Self:
        """The mark of this process."""
        pid = os.getpid()
        started = _started(pid)
        assert started is not None, "this process runs"
        return cls(pid=pid, started=started, machine=socket.gethostname(), boot=_boot(), space=_space())

    @property
    def is_here(self) -> bool:
        """Whether its number means something to this process."""
        return (self.machine, self.boot, self.space) == (socket.gethostname(), _boot(), _space())

    @property
    def alive(self) -> bool:
        """Whether it runs, here; a zombie does not."""
        started = _started(self.pid) if self.is_here else None
        return started is not None and abs(started - self.started) < _RESOLUTION

    @property
    def ended(self) -> bool:
        """Whether it certainly runs no more; of other machines and containers nothing is certain."""
        if self.machine != socket.gethostname():
            return False
        return self.boot != _boot() or (self.space == _space() and not self.alive)

    def listens(self, port: int) -> bool:
        """Whether it has a listening socket on `port`, or might: where the system hides that, it might."""
        import psutil

        try:
            connections = psutil.Process(self.pid).net_connections("tcp")
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)


def _started(pid: int) -> float | None:
    import psutil

    try:
        # First, because psutil before 7.1 remembers it: it would add what it was before a clock was set.
        boot = psutil.boot_time()
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.create_time() - boot
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # the latter is somebody else's, so not the one meant
        return None


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:  # not Linux
        return ""


def _space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
