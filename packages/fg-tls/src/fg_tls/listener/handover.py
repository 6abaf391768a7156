"""Listening sockets that outlive a program: handed over to its next run, or received from systemd.

A listening socket that stays open loses nobody: the kernel completes handshakes and queues connections while no program
accepts them. systemd passes sockets by `LISTEN_FDS` and `LISTEN_PID` (sd_listen_fds(3)), from descriptor 3 upwards. A
program that replaces itself cannot choose those numbers, which are in use, and names its own in `FORGATHER_LISTEN_FDS`.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn

_VARIABLE: Final = "FORGATHER_LISTEN_FDS"  # <process id>:<descriptor>,<descriptor>…
_FIRST_OF_SYSTEMD: Final = 3
_SYSTEMD: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


def inherited(port: int) -> socket.socket | None:
    """The TCP socket for `port` (0: any) that this process was started with; None when there is none (left).

    Only the port is compared: the address is what systemd's unit, or the earlier run, says.
    """
    descriptors = _descriptors()
    for descriptor in descriptors:
        found = _tcp_socket(descriptor)
        if found is None:
            continue
        if port in (0, found.getsockname()[1]):
            found.set_inheritable(False)
            _leave(each for each in descriptors if each != descriptor)
            return found
        found.detach()
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A listening socket without a program, for the moment in which one replaces the other."""

    listener: socket.socket

    def restart(self, arguments: Sequence[str] = ()) -> NoReturn:
        """Replace this process by a new run of the program, with the same process id, terminal and children.

        `arguments` is the whole command line; without it, that of this run. Call it last: nothing is cleaned up. A
        program that is told to listen on port 0 keeps its port, and makes a new token.
        """
        descriptor = self.listener.fileno()
        os.set_inheritable(descriptor, True)
        os.environ[_VARIABLE] = f"{os.getpid()}:{descriptor}"
        command = list(arguments) or [sys.executable, *sys.orig_argv[1:]]
        sys.stdout.flush()
        sys.stderr.flush()
        os.execvp(command[0], command)

    def close(self) -> None:
        """Give up the socket: connections that wait in it are refused."""
        self.listener.close()


def _descriptors() -> list[int]:
    """What was handed to this very process; children that inherit its environment have another id."""
    own = os.environ.get(_VARIABLE, "")
    process, _, numbers = own.partition(":")
    if process == str(os.getpid()):
        return [int(each) for each in numbers.split(",") if each.isdecimal()]
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        count = os.environ.get("LISTEN_FDS", "")
        found = list(range(_FIRST_OF_SYSTEMD, _FIRST_OF_SYSTEMD + int(count))) if count.isdecimal() else []
        _leave(found)
        return found
    return []


def _leave(descriptors: Iterable[int]) -> None:
    """Remember what has not been taken, and keep it from programs that this one starts."""
    left = list(descriptors)
    for name in _SYSTEMD:
        os.environ.pop(name, None)
    for descriptor in left:
        with suppress(OSError):  # the environment may name what is not open
            os.set_inheritable(descriptor, False)
    os.environ[_VARIABLE] = f"{os.getpid()}:{','.join(map(str, left))}"


def _tcp_socket(descriptor: int) -> socket.socket | None:
    """The socket of `descriptor`; None when it is not open, or something else."""
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:
        return None
    if found.family not in (socket.AF_INET, socket.AF_INET6) or found.type != socket.SOCK_STREAM:
        found.detach()  # leaves it open
        return None
    return found
