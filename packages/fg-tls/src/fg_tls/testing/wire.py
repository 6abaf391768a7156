"""One HTTP request in exactly the given bytes, as no polite client sends it, and the status of its answer."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable
from typing import Final

from fg_tls.clients.origins import Origin

Header = tuple[str, str]
TIMEOUT: Final = 10.0
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")
_HEAD_BYTES: Final = 64 * 2**10


def ask(origin: Origin, method: str, target: str, headers: Iterable[Header]) -> int | None:
    """Send a request without a body, and read the answer up to the end of its headers; None if there was none.

    Certificates are not verified: who answers is not the question here.
    """
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    try:
        with connection(origin) as stream:
            stream.sendall("\r\n".join(lines).encode("latin-1"))
            status = _STATUS.match(_head(stream))
    except ConnectionError:
        return None
    return int(status[1]) if status else None


def connection(origin: Origin, *, newest: ssl.TLSVersion | None = None) -> socket.socket:
    """A connection, with TLS if the scheme says so, of the version `newest` at most."""
    plain = socket.create_connection((origin.host, origin.port), timeout=TIMEOUT)
    if origin.scheme != "https":
        return plain
    try:
        return unverified(newest).wrap_socket(plain, server_hostname=origin.host)
    except BaseException:  # Ctrl-C too must not leave the socket open
        plain.close()
        raise


def unverified(newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A context that believes any certificate, and would also speak what has long been unsafe."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if newest is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = newest
    return context


def _head(stream: socket.socket) -> bytes:
    read = b""
    while b"\r\n\r\n" not in read and len(read) < _HEAD_BYTES:
        piece = stream.recv(4096)
        if not piece:
            break
        read += piece
    return read
