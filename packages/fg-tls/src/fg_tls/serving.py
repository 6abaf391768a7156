"""The one way to serve: TLS or loopback, a token file, declared access for every route, and a quiet end."""

from __future__ import annotations

import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, Literal

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from fg_tls.access import AccessTable
from fg_tls.binding import bind, refuse_clear_text
from fg_tls.certificates import read_pem
from fg_tls.clock import SYSTEM, Clock
from fg_tls.contexts import Source, server_context
from fg_tls.guard import Guard
from fg_tls.hosts import AllowedHosts
from fg_tls.names import Names
from fg_tls.peers import Peers
from fg_tls.protocol import with_client_certificate
from fg_tls.tokens import TokenStore

logger = logging.getLogger(__name__)

_GRACE_SECONDS: Final = 3
# What uvicorn reports as errors when we end open streams on purpose.
_EXPECTED_AT_THE_END: Final = ("ASGI callable returned without", "Cancel %s running task")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A listener that accepts requests. `stop()` may be called from any thread."""

    service: str
    host: str
    port: int
    tls: bool
    token_file: Path
    stop: Callable[[], None]

    @property
    def url(self) -> str:
        """The root of the server, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


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
    sockets: Sequence[socket.socket] = (),
    ready: Callable[[Serving], None] | None = None,
    clock: Clock = SYSTEM,
) -> None:
    """Serve `app` until SIGINT, SIGTERM or `Serving.stop`; open streams are ended within seconds.

    `service` names the kind of server, and the directory of its token. `tls` "auto" uses the certificate of this host
    if it has one; another source brings its own. Beyond loopback nothing is served in clear text, unless `insecure`.
    `hosts` are names that clients may use besides those of the certificate. `sockets` may hold the one socket that
    `bind` made before; otherwise `host` and `port` (0: any free one) are bound here. `ready` is called as soon as
    requests are accepted. Routes must not be added to `app` later.

    Raises:
        UnlistedRouteError: `access` and the routes of `app` differ.
        AddressError: the address cannot be used, or would be served in clear text.
        PortInUseError: another program listens there.
        StoreError, CertificateError: the certificate of this host cannot be used.
    """
    access.check(app)
    source = _source(tls)
    listener = sockets[0] if sockets else bind(host, port)
    bound_host, bound_port = listener.getsockname()[:2]
    with listener, tokens.opened(service=service, port=bound_port) as token_file:
        if source is None and not insecure:
            refuse_clear_text(listener)
        names = source_names(source) if source else Names()
        guard = Guard(
            app,
            access=access,
            tokens=tokens,
            hosts=AllowedHosts([*hosts, *names.hostnames, *map(str, names.addresses)]),
            peers=Peers(source, clock=clock) if source else None,
        )
        server = _Server(guard, server_context(source, clock=clock) if source else None)

        def announce() -> None:
            logger.info("%s listens on %s port %d", service, bound_host, bound_port)
            if ready is not None:
                ready(
                    Serving(
                        service=service,
                        host=bound_host,
                        port=bound_port,
                        tls=source is not None,
                        token_file=token_file,
                        stop=server.request_stop,
                    )
                )

        server.announce = announce
        with _quiet_signals(server), _expected_errors_dropped(server):
            server.run([listener])
    logger.info("%s on port %d has stopped", service, bound_port)


def _source(tls: Source | Literal["auto", "off"]) -> Source | None:
    if tls == "off":
        return None
    if tls != "auto":
        return tls
    from fg_tls.store import Store

    store = Store()
    return store if store.provisioned else None


def source_names(source: Source) -> Names:
    """The names in the certificate of a server."""
    path = source.material().certificate_file
    return read_pem(path.read_bytes(), str(path))[0].names if path else Names()


class _Server(uvicorn.Server):
    """uvicorn, with a word when it is ready and one to the guard when it ends."""

    def __init__(self, guard: Guard, context: ssl.SSLContext | None) -> None:
        super().__init__(
            uvicorn.Config(
                guard,
                http=with_client_certificate(H11Protocol),
                ws=with_client_certificate(WebSocketsSansIOProtocol),
                ssl_context_factory=(lambda *_: context) if context else None,
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,  # query strings and headers stay out of logs
                proxy_headers=False,  # nobody between us and the client may speak for it
                server_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self.guard = guard
        self.announce: Callable[[], None] = lambda: None

    def request_stop(self) -> None:
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn takes a second SIGINT as leave to skip the application's own end; ours is bounded, and runs once.
        self.request_stop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.guard.closing.set()
        await super().shutdown(sockets)


@contextmanager
def _quiet_signals(server: _Server) -> Iterator[None]:
    """Make SIGINT and SIGTERM a request to stop also before uvicorn listens for them, and harmless after it did.

    With the default handlers, a signal at the wrong moment would kill the process before the token file is removed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {each: signal.signal(each, lambda *_: server.request_stop()) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


@contextmanager
def _expected_errors_dropped(server: _Server) -> Iterator[None]:
    def keep(record: logging.LogRecord) -> bool:
        return not (server.guard.closing.is_set() and str(record.msg).startswith(_EXPECTED_AT_THE_END))

    uvicorn_logger = logging.getLogger("uvicorn.error")
    uvicorn_logger.addFilter(keep)
    try:
        yield
    finally:
        uvicorn_logger.removeFilter(keep)
