"""How long a server waits for its clients, and how many of them it bears.

CVE-2007-6750 and its kin (slow headers, slow bodies, answers that nobody reads) hold connections with next to no
traffic. Only silence of the client counts: a stream of answers, a long poll, a WebSocket or an upload may take hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_LONGEST_BEAT: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times are in seconds, sizes in bytes."""

    handshake: float = 10.0  # for the whole TLS handshake, which takes two round trips; asyncio allows 60
    headers: float = 10.0  # for the whole head of a request, from its first byte; from the start of a connection too
    header_bytes: int = 32 * 2**10  # for all names and values; browsers send 2 KiB, a proxy with cookies up to 16
    body_idle: float = 30.0  # without one byte of a body that was announced
    body_grace: float = 30.0  # before the rate of a body counts
    body_rate: float = 1024.0  # bytes per second on average; the slowest mobile networks reach ten times as much
    send_idle: float = 60.0  # in which a client takes nothing of what waits for it
    keep_alive: float = 15.0  # between an answer and the next request
    close: float = 1.0  # in which a client answers the end of a connection (RFC 8446 section 6.1 asks for no answer)
    connections: int = 512  # in all; 1,024 open files are what a shell usually allows
    connections_per_address: int = 256  # the loading processes of a machine with many accelerators share one address

    @property
    def beat(self) -> float:
        """How often a connection looks at its times."""
        return min(_LONGEST_BEAT, self.headers / 4, self.body_idle / 4, self.send_idle / 4, self.close / 2)


DEFAULT: Final = Limits()
