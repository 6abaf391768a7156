"""The sockets on which a process listens, and what they speak to a stranger."""

from __future__ import annotations

import ipaddress
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil

from fg_tls.clients.origins import Origin
from fg_tls.testing.wire import connection

_SECONDS: Final = 2.0
_ALERT: Final = 0x15  # the first byte with which TLS refuses what is no TLS (RFC 8446, section 5.1)
_LOCAL: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Socket:
    """A TCP socket that accepts connections."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"

    @property
    def loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback

    def origin(self, scheme: str) -> Origin:
        """How to reach it from here."""
        return Origin(scheme=scheme, host=_LOCAL.get(self.host, self.host), port=self.port)


def listening_sockets(pid: int) -> list[Socket]:
    """Those of a process and of all that it started."""
    process = psutil.Process(pid)
    found: set[Socket] = set()
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            listening = (it for it in each.net_connections("tcp") if it.status == psutil.CONN_LISTEN)
            found |= {Socket(host=it.laddr.ip, port=it.laddr.port) for it in listening}
    return sorted(found)


def speaks_clear_text(listening: Socket) -> bool:
    """Whether it answers a request of HTTP, or speaks first, with anything but an alert of TLS."""
    with suppress(OSError), connection(listening.origin("http")) as stream:
        stream.settimeout(_SECONDS)
        stream.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = stream.recv(1)
        return bool(answer) and answer[0] != _ALERT
    return False


def speaks_tls(listening: Socket) -> bool:
    """Whether a handshake succeeds, whatever its certificate says."""
    return _handshake(listening, None)


def offers_old_tls(listening: Socket) -> bool:
    """Whether a handshake of TLS 1.2, or of what was before it, succeeds."""
    return _handshake(listening, ssl.TLSVersion.TLSv1_2)


def _handshake(listening: Socket, newest: ssl.TLSVersion | None) -> bool:
    try:
        with connection(listening.origin("https"), newest=newest):
            return True
    except OSError:
        return False
