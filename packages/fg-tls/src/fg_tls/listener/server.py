"""uvicorn as we want it: quiet, trusting no header, ready when it says so, and gone within seconds."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from fg_tls.listener.exchange import ended_on_purpose
from fg_tls.listener.guard import Guard
from fg_tls.listener.limits import DEFAULT, Limits
from fg_tls.listener.protocol import protocol_options

_GRACE_SECONDS: Final = 3
_LINGER_SECONDS: Final = 0.3
_DRAIN_SECONDS: Final = 1.0
_LARGEST_MESSAGE: Final = 16 * 2**20  # bytes of a WebSocket, which are kept until the message is complete
# What uvicorn reports as errors when we end open requests on purpose.
_EXPECTED_AT_THE_END: Final = ("ASGI callable returned without", "Cancel %s running task")
# What uvicorn reports with a traceback, and the client is told by the code of its close: our log is not for it to fill.
_FAULTS_OF_CLIENTS: Final = ("Invalid UTF-8 sequence received",)


class Server(uvicorn.Server):
    """Serves a guard; `announce` is called when requests are accepted."""

    def __init__(
        self,
        guard: Guard,
        context: ssl.SSLContext | None,
        announce: Callable[[Server], None],
        limits: Limits = DEFAULT,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                guard,
                **protocol_options(H11Protocol, WebSocketsSansIOProtocol, context=context, limits=limits),
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,  # query strings and headers stay out of logs
                proxy_headers=False,  # nobody between us and the client may speak for it
                server_header=False,
                ws_max_size=min(guard.max_body, _LARGEST_MESSAGE),
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self.guard = guard
        self.handing_over = False
        self._announce = announce
        self._watch: asyncio.Task[None] | None = None

    def request_stop(self) -> None:
        """End soon; may be called from any thread, and more than once."""
        self.handing_over = False
        self.should_exit = True

    def request_handover(self) -> None:
        """End soon, without losing a request that is under way, for another run that takes over the socket."""
        self.handing_over = True
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn takes a second SIGINT as leave to skip the application's own end; ours is bounded, and runs once.
        self.request_stop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._watch = asyncio.create_task(self.guard.watch())
            self._announce(self)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.handing_over:
            await self._drain()
        self.guard.close()
        if self._watch is not None:
            self._watch.cancel()
        await super().shutdown(sockets)

    async def _drain(self) -> None:
        """Answer those who are connected already, and tell them that there is no next request on the connection."""
        for each in self.servers:
            each.close()
        self.guard.draining = True
        await asyncio.sleep(_LINGER_SECONDS)  # for TLS handshakes and requests that are on their way
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self.guard.idle:
                    await asyncio.sleep(0.02)


@contextmanager
def quiet_signals(server: Server) -> Iterator[None]:
    """Make SIGINT and SIGTERM a request to stop also before uvicorn listens for them, and harmless after it did.

    With the default handlers, a signal at the wrong moment would kill the process before its files are removed.
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
def expected_errors_dropped(server: Server) -> Iterator[None]:
    """Keep out of the log what uvicorn says about requests that were ended on purpose, and about broken text."""

    def keep(record: logging.LogRecord) -> bool:
        on_purpose = server.guard.closing or ended_on_purpose.get()
        expected = _FAULTS_OF_CLIENTS + (_EXPECTED_AT_THE_END if on_purpose else ())
        return not str(record.msg).startswith(expected)

    uvicorn_logger = logging.getLogger("uvicorn.error")
    uvicorn_logger.addFilter(keep)
    try:
        yield
    finally:
        uvicorn_logger.removeFilter(keep)
