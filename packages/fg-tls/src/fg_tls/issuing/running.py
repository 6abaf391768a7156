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
from fg_tls.endpoints import Endpoint, endpoints
from fg_tls.errors import AddressError, StoreError
from fg_tls.host.store import Store
from fg_tls.issuing import ISSUER_PORT
from fg_tls.issuing.book_entries import MemberEntry
from fg_tls.issuing.books import Books
from fg_tls.issuing.issuer import Issuer
from fg_tls.issuing.issuer_app import ISSUER_ACCESS, create_issuer_app
from fg_tls.issuing.join_token import JoinToken
from fg_tls.listener.binding import bind, listening_address
from fg_tls.listener.tokens import TokenStore
from fg_tls.pki.contexts import Material
from fg_tls.pki.names import as_address
from fg_tls.serving import Serving, serve

SERVICE: Final = "issuer"
EVERYWHERE: Final = "0.0.0.0"
_MOST_ENDPOINTS: Final = 3  # each makes a token 25 characters longer
_MOST_ISSUERS: Final = 6  # URLs that members try in turn
_LONGEST_CALL: Final = 5.0  # seconds, for a host that has joined to call with its certificate
_LOOK_EVERY: Final = 0.1
_LONGEST_MESSAGE: Final = 2**20


def serve_issuer(
    store: Store,
    *,
    host: str = EVERYWHERE,
    port: int = ISSUER_PORT,
    ready: Callable[[Serving], None] | None = None,
    clock: Clock = SYSTEM,
) -> None:
    """Serve the issuer of this host until SIGINT, SIGTERM or `Serving.stop`, and tell members where it listens.

    Raises:
        NotProvisionedError: the authority is elsewhere.
        AddressError, PortInUseError: it cannot listen there.
    """
    store.authority()

    def announce(serving: Serving) -> None:
        _tell_members(store, serving)
        if ready is not None:
            ready(serving)

    _serve(Issuer(store, clock), bind(host, port), ready=announce, until=None)


def serve_one_token(
    store: Store,
    make: Callable[[Issuer, tuple[str, ...]], JoinToken],
    *,
    host: str = EVERYWHERE,
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
    store.authority()
    issuer = Issuer(store, clock)
    with bind(host, port) as listener:
        token = make(issuer, token_endpoints(store, *listener.getsockname()[:2]))
        try:
            _serve(issuer, listener, ready=partial(ready, token), until=token)
        finally:
            used = issuer.books.take_back(token.id)
    return used


def _tell_members(store: Store, serving: Serving) -> None:
    """Put where this issuer listens first in config.yaml, from where every member is told where to renew."""
    known = store.settings().issuers
    new = [f"https://{each}" for each in token_endpoints(store, serving.host, serving.port)]
    if not all(each in known for each in new):
        store.save_settings(issuers=list(dict.fromkeys((*new, *known)))[:_MOST_ISSUERS])


def running_issuer() -> Endpoint | None:
    """The issuer that this user runs on this host, if any."""
    return next((each for each in endpoints(SERVICE) if each.tls), None)


@contextmanager
def issuing(
    store: Store, *, host: str = EVERYWHERE, port: int = ISSUER_PORT, clock: Clock = SYSTEM
) -> Iterator[tuple[str, ...]]:
    """Have an issuer for the block, if none runs here yet; gives the endpoints for join tokens.

    Raises:
        NotProvisionedError: the authority is elsewhere.
        AddressError, PortInUseError: it cannot listen there.
    """
    store.authority()
    running = running_issuer()
    if running is not None:
        yield token_endpoints(store, running.host, running.port)
        return
    listener = bind(host, port)
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


def token_endpoints(store: Store, host: str, port: int) -> tuple[str, ...]:
    """Where a joining host finds an issuer that listens on `host`, under names that its certificate has.

    Raises:
        AddressError: nobody can listen there.
    """
    bound = listening_address(host)
    if not 0 < port < 65536:
        raise AddressError(f"port {port} is not between 1 and 65535")
    if not bound.is_unspecified:
        return (_endpoint(str(bound), port),)
    names = store.identity().certificate.names
    # A socket for every address of IPv6 takes connections over IPv4 too, but not the other way round.
    usable = sorted((each for each in names.addresses if each.version <= bound.version), key=lambda each: each.version)
    addresses = [str(each) for each in usable if not each.is_loopback]
    hostnames = [each for each in names.hostnames if "." in each]
    reachable = [*addresses[: _MOST_ENDPOINTS - 1], *hostnames][:_MOST_ENDPOINTS]
    return tuple(_endpoint(each, port) for each in reachable or ["127.0.0.1"])


def _endpoint(host: str, port: int) -> str:
    address = as_address(host)
    return f"[{host}]:{port}" if address is not None and address.version == 6 else f"{host}:{port}"


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
