"""A connection of `http.client` to one of our servers, for much data in few requests."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from fg_tls.clients.failures import interrupted, peer_error
from fg_tls.clients.following import FollowingContext
from fg_tls.clients.origins import Destination, Origin
from fg_tls.clock import Clock
from fg_tls.errors import TlsError
from fg_tls.host.store import Store


class PeerAnswer(http.client.HTTPResponse):
    """An answer that is never taken for whole when its end is missing."""

    origin: Origin

    def read(self, amt: int | None = None) -> bytes:
        """As in http.client.

        Raises:
            PeerError: the answer broke off.
        """
        with self._told():
            data = super().read(amt)
            self._check(len(data), amt)
        return data

    def readinto(self, b: Any) -> int:
        """As in http.client.

        Raises:
            PeerError: the answer broke off.
        """
        with self._told():
            count = super().readinto(b)
            self._check(count, len(b))
        return count

    def _check(self, count: int, wanted: int | None) -> None:
        """`http.client` says nothing about a body in pieces that is shorter than its Content-Length."""
        if not count and wanted != 0 and self.length:
            raise http.client.IncompleteRead(b"", self.length)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            raise interrupted(error, self.origin) from error


class PeerConnection(http.client.HTTPConnection):
    """http.client, with TLS for https, the token in every request, and a word about what goes wrong."""

    response_class = PeerAnswer

    def __init__(
        self, goal: Destination, context: FollowingContext | None, *, store: Store, timeout: float, clock: Clock
    ) -> None:
        super().__init__(goal.origin.host, goal.origin.port, timeout=timeout)
        self._goal = goal
        self._context = context
        self._changes = 0
        self._store = store
        self._clock = clock

    def connect(self) -> None:
        """Connect, and verify who is there.

        Raises:
            PeerError: that failed.
        """
        with self._told():
            super().connect()
            if self._context is not None:
                self._changes = self._context.changes
                self._secure(self._context)

    def putrequest(self, method: str, url: str, *args: Any, **options: Any) -> None:
        """Begin a request, with the token if there is one.

        Raises:
            PeerError: the certificate of the server does not count any more.
        """
        self._look_again()
        super().putrequest(method, url, *args, **options)
        token = self._goal.token_for(self._goal.origin)
        if token is not None:
            self.putheader("Authorization", f"Bearer {token}")

    def send(self, data: Any) -> None:
        """As in http.client.

        Raises:
            PeerError: nobody takes it.
        """
        with self._told():
            super().send(data)

    def getresponse(self) -> PeerAnswer:
        """The answer to the last request.

        Raises:
            PeerError: none came.
        """
        with self._told():
            answer = super().getresponse()
        assert isinstance(answer, PeerAnswer)
        answer.origin = self._goal.origin
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look_again(self) -> None:
        """At the certificate of the server; a connection is left that shows one of ours which was replaced."""
        if self._context is None or not isinstance(self.sock, ssl.SSLSocket):
            return
        if self._context.changes == self._changes:
            self._context.check(self.sock, self.host)
        else:
            self.sock.close()  # what is still being read from it stays readable
            self.sock = None

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except http.client.ImproperConnectionState:  # a mistake of the caller, who did not read the answer before
            raise
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise peer_error(error, self._goal.origin, store=self._store, clock=self._clock) from error
        except TlsError:
            self.close()
            raise

    def _secure(self, context: FollowingContext) -> None:
        """Put TLS around the socket; if that fails there is none, and nothing goes out in clear text."""
        plain, self.sock = self.sock, None
        try:
            self.sock = context.wrap_socket(plain, server_hostname=self.host)
        finally:
            if self.sock is None:
                plain.close()
