"""The one way to serve: a loopback address, a token file, declared access for every route, and a quiet end."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from starlette.applications import Starlette

from fg_tls.access import AccessTable
from fg_tls.guard import Guard
from fg_tls.loopback import bind_loopback, loopback_address
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
    token_file: Path
    stop: Callable[[], None]

    @property
    def url(self) -> str:
        """The root of the server, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def serve(
    app: Starlette,
    *,
    service: str,
    host: str = "127.0.0.1",
    port: int,
    access: AccessTable,
    tokens: TokenStore,
    sockets: Sequence[socket.socket] = (),
    ready: Callable[[Serving], None] | None = None,
) -> None:
    """Serve `app` until SIGINT, SIGTERM or `Serving.stop`; open streams are ended within seconds.

    `service` names the kind of server, and the directory of its token. `sockets` may hold the one socket that
    `bind_loopback` made before; otherwise `host` and `port` (0: any free one) are bound here. `ready` is called as soon
    as requests are accepted. Routes must not be added to `app` later.

    Raises:
        UnlistedRouteError: `access` and the routes of `app` differ.
        AddressError: the address is not a loopback address, or cannot be used.
        PortInUseError: another program listens there.
    """
    access.check(app)
    listener = _listener(host, port, sockets)
    bound_host, bound_port = listener.getsockname()[:2]
    with listener, tokens.opened(service=service, port=bound_port) as token_file:
        server = _Server(Guard(app, access=access, tokens=tokens))

        def announce() -> None:
            logger.info("%s listens on %s port %d", service, bound_host, bound_port)
            if ready is not None:
                stop = server.request_stop
                ready(Serving(service=service, host=bound_host, port=bound_port, token_file=token_file, stop=stop))

        server.announce = announce
        with _quiet_signals(server), _expected_errors_dropped(server):
            server.run([listener])
    logger.info("%s on port %d has stopped", service, bound_port)


def _listener(host: str, port: int, sockets: Sequence[socket.socket]) -> socket.socket:
    if not sockets:
        return bind_loopback(host, port)
    (listener,) = sockets
    loopback_address(listener.getsockname()[0])
    return listener


class _Server(uvicorn.Server):
    """uvicorn, with a word when it is ready and one to the guard when it ends."""

    def __init__(self, guard: Guard) -> None:
        super().__init__(
            uvicorn.Config(
                guard,
                ws="none",
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
