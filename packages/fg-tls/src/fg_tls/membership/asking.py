"""A question to an issuer: JSON over TLS, verified by the authorities of this host."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

from fg_tls.clients.failures import peer_error
from fg_tls.clients.origins import Origin
from fg_tls.clock import Clock
from fg_tls.errors import JoinError, PeerError
from fg_tls.host.store import Store
from fg_tls.issuing.join_messages import read_object
from fg_tls.pki.certificates import read_der
from fg_tls.pki.contexts import Material, check_server, client_context, unverified_context

_TIMEOUT: Final = 10.0  # seconds
_CONNECT_TIMEOUT: Final = 4.0  # seconds; an issuer is near, and another one may be asked
_LARGEST_ANSWER: Final = 2**20  # bytes; the revocation list grows by about 40 for each certificate


class HangUp:
    """Ends the question that is under way, and those that come after it, from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._ended = False

    def __call__(self) -> None:
        with self._lock:
            self._ended = True
            if self._socket is not None:
                with suppress(OSError):
                    # That of the connection below TLS: only the thread that reads may touch the state of TLS.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    @property
    def ended(self) -> bool:
        """Whether this host asks no more."""
        return self._ended

    @contextmanager
    def watching(self, connection: socket.socket) -> Iterator[None]:
        """Have `connection` ended when it is time.

        Raises:
            OSError: it is.
        """
        with self._lock:
            if self._ended:
                raise ConnectionAbortedError("this host asks no more")
            self._socket = connection
        try:
            yield
        finally:
            with self._lock:
                self._socket = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A way to ask the issuer at `url`, for the host of `store`."""

    store: Store
    url: str
    clock: Clock
    hang_up: HangUp = field(default_factory=HangUp)

    def ask(self, path: str, body: Mapping[str, Any] | None = None, *, timeout: float = _TIMEOUT) -> dict[str, Any]:
        """Ask with the certificate of this host; a POST if there is a `body`.

        Raises:
            PeerError: the issuer cannot be reached or verified.
            JoinError: it refused.
        """
        return self._ask(path, body, self.store.client_material(), timeout)

    def ask_anonymously(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask without a certificate: with one that has run out, TLS would end in the handshake.

        Raises:
            PeerError: the issuer cannot be reached or verified.
            JoinError: it refused.
        """
        return self._ask(path, body, replace(self.store.client_material(), certificate_file=None), _TIMEOUT)

    def ask_anybody(self, path: str) -> dict[str, Any]:
        """Ask whoever answers, without verifying who it is: for answers that carry their own proof.

        Raises:
            PeerError: nobody answers.
            JoinError: the answer is none of an issuer.
        """
        return self._ask(path, None, None, _TIMEOUT)

    def _ask(
        self, path: str, body: Mapping[str, Any] | None, material: Material | None, timeout: float
    ) -> dict[str, Any]:
        parts = urlsplit(self.url)
        context = unverified_context() if material is None else client_context(material, clock=self.clock)
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=_CONNECT_TIMEOUT, context=context
        )
        try:
            connection.connect()
            connection.sock.settimeout(timeout)
            if material is not None:
                check_server(read_der(_shown(connection)), material, self.clock())
            with self.hang_up.watching(connection.sock):
                return _exchange(connection, path, body)
        except (OSError, http.client.HTTPException) as error:
            raise peer_error(error, Origin.of(self.url), store=self.store, clock=self.clock) from error
        finally:
            connection.close()


def _exchange(connection: http.client.HTTPSConnection, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
    if body is None:
        connection.request("GET", path)
    else:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    data = response.read(_LARGEST_ANSWER + 1)
    if len(data) > _LARGEST_ANSWER:
        raise JoinError(f"the issuer's answer is larger than {_LARGEST_ANSWER:,} bytes")
    answer = read_object(data)
    if response.status == 401:
        raise JoinError(
            "the issuer does not count the certificate of this host: it may be revoked; if it is, let this host join "
            "again (`forgather tls join --force`)"
        )
    if response.status >= 400:
        error = answer.get("error")
        reason = error.get("message") if isinstance(error, dict) else None
        raise JoinError(f"the issuer refused: {reason or f'status {response.status}'}")
    return answer


def _shown(connection: http.client.HTTPSConnection) -> bytes:
    tls = connection.sock
    der = tls.getpeercert(binary_form=True) if isinstance(tls, ssl.SSLSocket) else None
    if der is None:
        raise PeerError(f"the issuer at {connection.host} shows no certificate")
    return der
