"""Connections to our servers with the right trust, certificate and token: by httpx, or by `http.client`.

No redirect is followed, and no proxy of the environment sees a request to a private host.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Generator, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from fg_tls.clients.failures import peer_error
from fg_tls.clients.following import FollowingContext, trusts
from fg_tls.clients.origins import Destination, Origin, destination
from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import PeerError
from fg_tls.host.store import Store
from fg_tls.pki.contexts import Material

_TIMEOUT: Final = 10.0


def connect(
    url: str,
    *,
    token_file: Path | None = None,
    token: str | None = None,
    service: str | None = None,
    store: Store | None = None,
    timeout: float | httpx.Timeout = _TIMEOUT,
    insecure: bool = False,
    clock: Clock = SYSTEM,
) -> httpx.Client:
    """A client for the server at `url`, which is also what its relative requests begin with.

    Without a token, that of a server of this user on this machine is used where `url` is its address; `service` limits
    that to one kind. The client follows renewals, new authorities and revocations for as long as it lives. A request
    that cannot be sent or answered raises PeerError.

    Raises:
        PeerError: `url` is no URL, or it leaves this machine in clear text (`insecure` allows that, without a token).
        TokenFileError: the token file cannot be used.
        StoreError, CertificateError: the files of this host cannot be used.
    """
    goal = destination(url, token=token, token_file=token_file, service=service, insecure=insecure)
    return PeerClient(goal, httpx.URL(url).path, store=store or Store(), timeout=timeout, clock=clock)


def http_connection(
    url: str,
    *,
    token_file: Path | None = None,
    token: str | None = None,
    service: str | None = None,
    store: Store | None = None,
    timeout: float = _TIMEOUT,
    insecure: bool = False,
    clock: Clock = SYSTEM,
) -> http.client.HTTPConnection:
    """A connection of the standard library to the server of `url`, for much data in few requests; else as `connect`.

    Every request on it carries the token.
    """
    goal = destination(url, token=token, token_file=token_file, service=service, insecure=insecure)
    return PeerConnection(goal, store=store or Store(), timeout=timeout, clock=clock)


class PeerClient(httpx.Client):
    """httpx, with a word about what goes wrong."""

    def __init__(
        self, goal: Destination, path: str, *, store: Store, timeout: float | httpx.Timeout, clock: Clock
    ) -> None:
        self._context = _context(goal, store, clock)
        super().__init__(
            base_url=f"{goal.origin}{path}",
            auth=_OneOrigin(goal),
            verify=self._context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # the latter trusts nobody
            timeout=timeout,
            trust_env=not (goal.origin.private or trusts(store.client_material(), goal.origin.host)),
        )
        self._store = store
        self._clock = clock
        self._changes = 0
        self._replaced: httpx.BaseTransport | None = None

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """As in httpx.

        Raises:
            PeerError: the request could not be sent or answered.
        """
        self._reconnect_if_changed()
        try:
            response = super().send(request, **options)
        except httpx.TransportError as error:
            raise peer_error(error, Origin.of(str(request.url)), store=self._store, clock=self._clock) from error
        self._check(response)
        return response

    def close(self) -> None:
        """As in httpx."""
        super().close()
        if self._replaced is not None:
            self._replaced.close()

    def _reconnect_if_changed(self) -> None:
        """Leave connections that were opened with a certificate of ours that was replaced: it may run out on them."""
        if self._context is None or self._context.changes == self._changes:
            return
        self._changes = self._context.changes
        older, self._replaced = self._replaced, self._transport  # other threads may still be using the one of until now
        self._transport = self._init_transport(verify=self._context)
        if older is not None:
            older.close()

    def _check(self, response: httpx.Response) -> None:
        stream = response.extensions.get("network_stream")
        connection = stream.get_extra_info("socket") if stream is not None else None
        if self._context is None or not isinstance(connection, ssl.SSLSocket) or connection.fileno() < 0:
            return
        try:
            self._context.check(connection, response.request.url.host)
        except PeerError:
            response.close()
            raise


class PeerConnection(http.client.HTTPConnection):
    """http.client, with TLS for https, the token in every request, and a word about what goes wrong."""

    def __init__(self, goal: Destination, *, store: Store, timeout: float, clock: Clock) -> None:
        super().__init__(goal.origin.host, goal.origin.port, timeout=timeout)
        self._goal = goal
        self._context = _context(goal, store, clock)
        self._store = store
        self._clock = clock

    def connect(self) -> None:
        """Connect, and verify who is there.

        Raises:
            PeerError: that failed.
        """
        try:
            super().connect()
            if self._context is not None:
                self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)
        except (OSError, PeerError) as error:
            self.close()
            raise self._explained(error) from error

    def putrequest(self, method: str, url: str, *args: Any, **options: Any) -> None:
        """Begin a request, with the token if there is one.

        Raises:
            PeerError: the certificate of the server does not count any more.
        """
        if self._context is not None and isinstance(self.sock, ssl.SSLSocket):
            self._context.check(self.sock, self.host)
        super().putrequest(method, url, *args, **options)
        token = self._goal.token_for(self._goal.origin)
        if token is not None:
            self.putheader("Authorization", f"Bearer {token}")

    def getresponse(self) -> http.client.HTTPResponse:
        """The response to the last request.

        Raises:
            PeerError: none came.
        """
        try:
            return super().getresponse()
        except OSError as error:  # RemoteDisconnected is one
            self.close()
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> PeerError:
        return peer_error(error, self._goal.origin, store=self._store, clock=self._clock)


class _OneOrigin(httpx.Auth):
    """The token for requests to its origin, and nothing for any other; the environment adds none of its own."""

    def __init__(self, goal: Destination) -> None:
        self._goal = goal

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        origin = Origin.of(str(request.url))
        if not self._goal.admits(origin):
            raise PeerError(f"refuses to send a request to {origin} in clear text; use https://{origin.host}")
        token = self._goal.token_for(origin)
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"
        yield request


@dataclass(frozen=True, slots=True)
class _AsClient:
    """The side of a store that clients show: never a certificate that was brought for servers."""

    store: Store

    def stamp(self) -> Hashable:
        return self.store.stamp()

    def material(self) -> Material:
        return self.store.client_material()


def _context(goal: Destination, store: Store, clock: Clock) -> FollowingContext | None:
    if goal.origin.scheme == "http":
        return None
    return FollowingContext.of(_AsClient(store), clock=clock, ours=store if goal.ours else None)
