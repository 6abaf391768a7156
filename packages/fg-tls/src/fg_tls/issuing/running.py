"""Running the issuer: as a server of its own, or for as long as a command needs one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import StoreError
from fg_tls.host.store import Store
from fg_tls.issuing import ISSUER_PORT
from fg_tls.issuing.book_entries import MemberEntry
from fg_tls.issuing.books import Books
from fg_tls.issuing.issuer import Issuer
from fg_tls.issuing.issuer_app import ISSUER_ACCESS, create_issuer_app
from fg_tls.issuing.join_token import JoinToken
from fg_tls.issuing.whereabouts import (
    SERVICE,
    certify_names,
    every_address,
    running_issuer,
    tell_members,
    tell_of_running,
    token_endpoints,
)
from fg_tls.listener.binding import bind
from fg_tls.listener.tokens import TokenStore
from fg_tls.pki.contexts import Material
from fg_tls.serving import Serving, serve

_LONGEST_CALL: Final = 5.0  # seconds, for a host that has joined to call with its certificate
_LOOK_EVERY: Final = 0.1
_LONGEST_MESSAGE: Final = 2**20


def serve_issuer(
    store: Store,
    *,
    host: str | None = None,
    port: int = ISSUER_PORT,
    ready: Callable[[Serving], None] | None = None,
    clock: Clock = SYSTEM,
) -> None:
    """Serve the issuer of this host until SIGINT, SIGTERM or `Serving.stop`, and tell members where it listens.

    Without `host`, it is served on every address of this host.

    Raises:
        NotProvisionedError: the authority is elsewhere.
        AddressError, PortInUseError: it cannot listen there.
    """
    certify_names(store, clock)
    with bind(host or every_address(store), port) as listener:
        tell_members(store, *listener.getsockname()[:2])
        _serve(Issuer(store, clock), listener, ready=ready or _nothing, until=None)
    tell_of_running(store)  # of another one that goes on, if there is one


def serve_one_token(
    store: Store,
    make: Callable[[Issuer, tuple[str, ...]], JoinToken],
    *,
    host: str | None = None,
    port: int = ISSUER_PORT,
    ready: Callable[[JoinToken, Serving], None],
    clock: Clock = SYSTEM,
) -> bool:
    """Serve the issuer until the token that `make` gives for its endpoints is used or ran out; whether it was used.

    There is no token before the port is ours, and after Ctrl-C (or any other end) one that nobody has used is gone.

    Raises:
        NotProvisionedError: the authority is elsewhere.
        AddressError, PortInUseError: it cannot listen there.
    """
    certify_names(store, clock)
    issuer = Issuer(store, clock)
    with bind(host or every_address(store), port) as listener:
        token = make(issuer, token_endpoints(store, *listener.getsockname()[:2]))
        try:
            _serve(issuer, listener, ready=partial(ready, token), until=token)
        finally:
            used = issuer.books.take_back(token.id)
    return used


@contextmanager
def issuing(
    store: Store, *, host: str | None = None, port: int = ISSUER_PORT, clock: Clock = SYSTEM
) -> Iterator[tuple[str, ...]]:
    """Have an issuer for the block, if none runs here yet; gives the endpoints for join tokens.

    Raises:
        NotProvisionedError: the authority is elsewhere.
        AddressError, PortInUseError: it cannot listen there.
    """
    certify_names(store, clock)
    running = running_issuer()
    if running is not None:
        yield token_endpoints(store, running.host, running.port)
        return
    listener = bind(host or every_address(store), port)
    bound_host, bound_port = listener.getsockname()[:2]
    with ThreadPoolExecutor(1, thread_name_prefix="issuer") as pool:
        started: Future[Serving] = Future()
        ended = pool.submit(_serve, Issuer(store, clock), listener, ready=started.set_result, until=None)
        first: list[Future[Any]] = [started, ended]
        wait(first, return_when=FIRST_COMPLETED)
        if not started.done():
            ended.result()  # raises what went wrong
        try:
            yield token_endpoints(store, bound_host, bound_port)
        finally:
            started.result().stop()
            ended.result()


def _serve(
    issuer: Issuer, listener: socket.socket, *, ready: Callable[[Serving], None], until: JoinToken | None
) -> None:
    used = threading.Event()

    def joined(token_id: str) -> None:
        if until is not None and token_id == until.id:
            used.set()

    def announce(serving: Serving) -> None:
        if until is not None:
            threading.Thread(
                target=_stop_after, args=(serving, used, issuer.books, _seconds_left(issuer, until)), daemon=True
            ).start()
        ready(serving)

    serve(
        create_issuer_app(issuer, joined=joined),
        service=SERVICE,
        port=listener.getsockname()[1],
        access=ISSUER_ACCESS,
        tokens=TokenStore(),
        tls=_OwnCertificate(issuer.store.directory),
        max_body=_LONGEST_MESSAGE,
        sockets=[listener],
        ready=announce,
        clock=issuer.clock,
    )


class _OwnCertificate(Store):
    """Shows the certificate of our authority, also where servers show one that was brought: tokens pin no other."""

    def material(self) -> Material:
        return self.client_material()


def _nothing(_serving: Serving) -> None:
    """For those who need not know when it is ready."""


def _seconds_left(issuer: Issuer, token: JoinToken) -> float:
    entry = issuer.books.read().tokens.get(token.id)
    return max((entry.expires - issuer.clock()).total_seconds(), 0) if entry else 0


def _stop_after(serving: Serving, used: threading.Event, books: Books, seconds: float) -> None:
    """Stop when the token is used and its user has called with the certificate, or has had the time for that."""
    if used.wait(seconds):
        deadline = time.monotonic() + _LONGEST_CALL
        while time.monotonic() < deadline and any(each.shown is None for each in _members(books)):
            time.sleep(_LOOK_EVERY)
    serving.stop()


def _members(books: Books) -> tuple[MemberEntry, ...]:
    try:
        return tuple(each for each in books.members() if each.revoked is None)
    except StoreError:
        return ()
