"""The one way to serve: TLS or loopback, tokens, declared access for every route, and a quiet end."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starlette.applications import Starlette

from fg_tls.clock import SYSTEM, Clock
from fg_tls.endpoints import Endpoint, announced
from fg_tls.host.store import Store
from fg_tls.listener.access import AccessTable
from fg_tls.listener.binding import bind, is_loopback, refuse_clear_text
from fg_tls.listener.guard import MAX_BODY_BYTES, Guard
from fg_tls.listener.handover import Handover
from fg_tls.listener.hosts import AllowedHosts
from fg_tls.listener.limits import DEFAULT, Limits
from fg_tls.listener.peers import Peers
from fg_tls.listener.server import Server, expected_errors_dropped, quiet_signals
from fg_tls.listener.server_names import CertifiedNames, names_beyond_loopback
from fg_tls.listener.tokens import TokenStore
from fg_tls.listener.urls import urls
from fg_tls.membership.keeper import keeping
from fg_tls.pki.contexts import Source, server_context
from fg_tls.pki.names import Names, parse_names

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A listener that accepts requests. `stop()` and `handover()` may be called from any thread."""

    service: str
    host: str  # the address it is bound to, which may be that of all interfaces
    port: int
    tls: bool
    urls: tuple[str, ...]  # all of them, the best one for a client on this machine first
    token_file: Path
    warning: str | None  # what is at risk, when it was made to listen beyond loopback in clear text
    stop: Callable[[], None]
    handover: Callable[[], None]  # stop, and have `serve` return the socket for the next run of the program

    @property
    def url(self) -> str:
        """The root of the server as clients on this machine reach it, without a slash at the end."""
        return self.urls[0]


def serve(
    app: Starlette,
    *,
    service: str,
    host: str = "127.0.0.1",
    port: int,
    access: AccessTable,
    tokens: TokenStore,
    tls: Source | Literal["auto", "off"] = "auto",
    insecure: bool = False,
    hosts: Iterable[str] = (),
    max_body: int = MAX_BODY_BYTES,
    limits: Limits = DEFAULT,
    sockets: Sequence[socket.socket] = (),
    job: str | None = None,
    ready: Callable[[Serving], None] | None = None,
    clock: Clock = SYSTEM,
) -> Handover | None:
    """Serve `app` until SIGINT, SIGTERM, `Serving.stop` or `.handover`; open streams are ended within seconds.

    `service` names the kind of server, and the directory of its token. `tls` "auto" uses the certificate of this host
    if it has one; another source brings its own. Beyond loopback nothing is served in clear text, unless `insecure`.
    `hosts` are names that clients may use besides those of the certificate. Bodies and WebSocket messages larger than
    `max_body` bytes are refused; `limits` say how long the server waits for clients. `sockets` may hold one that `bind`
    made before; otherwise `host` and `port` (0: any free one) are bound first of all. It is announced as part of `job`.
    `ready` is called once requests are accepted. Routes must not be added to `app` later.

    After `Serving.handover` it returns the socket, in which clients wait meanwhile: clean up, then `restart()` it.

    Raises:
        UnlistedRouteError: `access` and the routes of `app` differ.
        AddressError, PortInUseError: the address cannot be used, is in use, or would be served in clear text.
        HostNameError: one of `hosts` is neither a name nor an address.
        TokenFileError: tokens of an earlier run cannot be used.
        StoreError, CertificateError: the certificate of this host cannot be used.
        EndpointError: the record of the server cannot be written.
    """
    access.check(app)
    with ExitStack() as stack:
        listener = stack.enter_context(_undelayed(sockets[0] if sockets else bind(host, port)))
        source = _source(tls)
        warning = _exposure(listener, insecure=insecure) if source is None else None
        bound_host, bound_port = listener.getsockname()[:2]
        token_file = stack.enter_context(tokens.opened(service=service, port=bound_port, lasting=port != 0))
        certified = CertifiedNames(source) if source is not None else Names
        of_machine = names_beyond_loopback(bound_host)
        guard = Guard(
            app,
            access=access,
            tokens=tokens,
            hosts=AllowedHosts(parse_names(hosts) | certified() | of_machine, newer=certified),
            peers=Peers(source, clock=clock) if source else None,
            max_body=max_body,
        )

        def announce(server: Server) -> None:
            serving = Serving(
                service=service,
                host=bound_host,
                port=bound_port,
                tls=source is not None,
                urls=urls(bound_host, bound_port, certified() or of_machine, tls=source is not None),
                token_file=token_file,
                warning=warning,
                stop=server.request_stop,
                handover=server.request_handover,
            )
            stack.enter_context(announced(_endpoint(serving, job)))
            logger.info("%s listens on %s port %d", service, bound_host, bound_port)
            if ready is not None:
                ready(serving)

        server = Server(guard, server_context(source, clock=clock) if source else None, announce, limits)
        with quiet_signals(server), expected_errors_dropped(server), keeping(_of_this_host(source), clock):
            server.run([listener.dup()])  # it closes its own; ours may be handed over
        handover = Handover(listener=listener.dup()) if server.handing_over else None
    logger.info("%s on port %d has stopped", service, bound_port)
    return handover


def _undelayed(listener: socket.socket) -> socket.socket:
    """`listener`, whose connections inherit that small answers are sent at once, and not after 40 ms.

    asyncio would see to that, but not for connections of a socket that was made without a protocol number.
    """
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _source(tls: Source | Literal["auto", "off"]) -> Source | None:
    if tls == "off":
        return None
    if tls != "auto":
        return tls
    store = Store()
    return store if store.provisioned and store.enabled else None


def _of_this_host(source: Source | None) -> Store:
    """The directory to look after: clients here depend on it too, and so do revocations, whatever servers show."""
    return source if isinstance(source, Store) else Store()


def _exposure(listener: socket.socket, *, insecure: bool) -> str | None:
    """Refuse clear text beyond loopback, or if it was asked for say loudly what it means."""
    if not insecure:
        refuse_clear_text(listener)
    host, port = listener.getsockname()[:2]
    if is_loopback(host):
        return None
    warning = (
        f"INSECURE: {host} port {port} is served in clear text; everybody on the way to a client can read and change "
        "every request and answer, and use the tokens that they see; run `forgather tls init` and leave out --insecure"
    )
    logger.warning("%s", warning)
    return warning


def _endpoint(serving: Serving, job: str | None) -> Endpoint:
    return Endpoint(
        service=serving.service,
        host=serving.host,
        port=serving.port,
        tls=serving.tls,
        urls=serving.urls,
        token_file=serving.token_file,
        job=job,
    )
