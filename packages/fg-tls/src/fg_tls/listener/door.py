"""The first protocol of every connection: it counts who is inside, and leads the way through the TLS handshake.

uvicorn would let asyncio do the handshake, for up to a minute and for any number of clients, before a protocol hears
of them.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

from fg_tls.listener.limits import Limits

logger = logging.getLogger(__name__)

# The watch of `fg_tls.listener.pace` ends connections that do not move; a long answer may take any time to leave.
_SHUTDOWN_SECONDS: Final = 86_400.0
_FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Door(asyncio.Protocol):
    """Makes a protocol of `make` for a client that is let in, and hands the connection over to it.

    `connections` are those of uvicorn: protocols with the address of their `client`, which uvicorn shuts down in the
    end.
    """

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        *,
        connections: set[Any],
        context: ssl.SSLContext | None,
        limits: Limits,
    ) -> None:
        self._make = make
        self._connections = connections
        self._context = context
        self._limits = limits
        self._inner: asyncio.Protocol | None = None
        self._early = bytearray()  # what came with the last flight of the handshake
        self._lost = False
        self._task: asyncio.Task[None] | None = None
        self.client: tuple[str, int] | None = None
        self.raw_transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.raw_transport = cast("asyncio.Transport", transport)
        name = transport.get_extra_info("peername")
        self.client = (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
        if self._crowded():
            self._turn_away()
        elif self._context is None:
            self._enter(self.raw_transport)
        else:
            self._connections.add(self)
            self.raw_transport.pause_reading()  # not one byte before TLS reads it
            self._task = asyncio.get_running_loop().create_task(self._handshake(self._context))

    def data_received(self, data: bytes) -> None:
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def shutdown(self) -> None:
        """End a handshake; uvicorn calls this when it stops."""
        self.raw_transport.abort()

    def _crowded(self) -> bool:
        address = self.client and self.client[0]
        neighbours = sum(1 for each in self._connections if each.client and each.client[0] == address)
        return len(self._connections) >= self._limits.connections or neighbours >= self._limits.connections_per_address

    def _turn_away(self) -> None:
        logger.debug("too many connections; %s is turned away", self.client)
        if self._context is None:
            self.raw_transport.write(_FULL)
            self.raw_transport.close()
        else:
            self.raw_transport.abort()

    async def _handshake(self, context: ssl.SSLContext) -> None:
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self.raw_transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self._limits.handshake,
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
            )
        except OSError as error:  # TLS errors and time-outs are of this kind
            logger.debug("no TLS with %s: %s", self.client, error)
        else:
            if transport is not None and not self._lost:
                self._enter(transport)
        finally:
            self._connections.discard(self)

    def _enter(self, transport: asyncio.Transport) -> None:
        self._connections.discard(self)
        self._inner = self._make()
        self._inner.connection_made(transport)
        transport.set_protocol(self._inner)
        if self._early:
            self._inner.data_received(bytes(self._early))
