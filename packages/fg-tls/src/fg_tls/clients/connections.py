"""Connections to our servers with the right trust, certificate and token: by httpx, or by `http.client`.

No redirect is followed, and no proxy of the environment sees a request to a private host.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from fg_tls.clients.following import FollowingContext
from fg_tls.clients.origins import Destination, Origin, destination
from fg_tls.clients.peer_connection import PeerConnection
from fg_tls.clients.transport import PeerTransport
from fg_tls.clock import SYSTEM, Clock
from fg_tls.host.store import Store
from fg_tls.membership.upkeep import keep_up
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
    that to one kind. The client follows renewals, new authorities and revocations for as long as it lives; where no
    server runs that would fetch them, it asks the issuer itself before it connects, for two seconds at most. A request
    that cannot be sent or answered raises PeerError, and so does an answer that breaks off.

    Raises:
        PeerError: `url` is no URL, or it leaves this machine in clear text (`insecure` allows that, without a token).
        TokenFileError: the token file cannot be used.
        StoreError, CertificateError: the files of this host cannot be used.
    """
    goal = destination(url, token=token, token_file=token_file, service=service, insecure=insecure)
    store = store or Store()
    return httpx.Client(
        base_url=f"{goal.origin}{httpx.URL(url).path}",
        auth=_OneOrigin(goal),
        transport=PeerTransport(goal, _context(goal, store, clock), store=store, clock=clock),
        timeout=timeout,
        trust_env=False,  # the transport knows for which hosts the environment may name a proxy
    )


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
) -> PeerConnection:
    """A connection of the standard library to the server of `url`, for much data in few requests; else as `connect`.

    Every request on it carries the token.
    """
    goal = destination(url, token=token, token_file=token_file, service=service, insecure=insecure)
    store = store or Store()
    return PeerConnection(goal, _context(goal, store, clock), store=store, timeout=timeout, clock=clock)


class _OneOrigin(httpx.Auth):
    """The token for requests to its origin, and nothing for any other; the environment adds none of its own."""

    def __init__(self, goal: Destination) -> None:
        self._goal = goal

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        token = self._goal.token_for(Origin.of(str(request.url)))
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
    look = partial(keep_up, store, clock)
    look()  # what is renewed in the middle of connecting costs a second connection
    return FollowingContext.of(_AsClient(store), clock=clock, ours=store if goal.ours else None, before=look)
