"""uvicorn's protocols, with an eye on the clock: connections whose client does not move are ended.

Time is counted in beats of a second at most, and only while the server waits for the client, so that a server that was
busy or stopped for a while does not blame its clients.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.utils import ClientDisconnected

from fg_tls.listener.limits import Limits


@dataclass(slots=True)
class Arrival:
    """What has come of the head or of the body of a request, and how long it took."""

    size: int = 0
    waited: float = 0.0
    idle: float = 0.0

    def came(self, size: int) -> None:
        self.size += size
        self.idle = 0.0

    def wait(self, seconds: float) -> None:
        self.waited += seconds
        self.idle += seconds

    def late_head(self, limits: Limits) -> bool:
        return self.waited > limits.headers

    def late_body(self, limits: Limits) -> bool:
        return self.idle > limits.body_idle or self.waited > limits.body_grace + self.size / limits.body_rate


class Departure:
    """What waits to be sent, and for how long the client has taken nothing of it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport  # the one beneath TLS, whose buffer tells what the client takes
        self.lost = False
        self.writable = asyncio.Event()
        self.writable.set()
        self.stalled = 0.0
        self._sent = 0
        self._last: tuple[int, int] = (0, 0)

    def wait(self, seconds: float, limits: Limits, *, closing: bool) -> bool:
        """Count so many seconds more; whether the client has had all its time."""
        unsent = self.transport.get_write_buffer_size()
        moved, self._last = (unsent, self._sent) != self._last, (unsent, self._sent)
        self.stalled = self.stalled + seconds if (unsent or closing) and not moved else 0.0
        return self.stalled > (limits.send_idle if unsent else limits.close)

    def counting(self, app: ASGIApp) -> ASGIApp:
        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            async def counting(message: Message) -> None:
                # Old versions of uvicorn neither wait for the client of a WebSocket nor say that it is gone.
                if self.lost and scope["type"] == "websocket":
                    raise ClientDisconnected
                await send(message)
                await self.writable.wait()
                self._sent += 1

            await app(scope, receive, counting)

        return counted


def paced(base: type[asyncio.Protocol], limits: Limits) -> type[asyncio.Protocol]:
    """A uvicorn protocol, for HTTP or WebSocket, that ends a connection whose client does not take what it is sent."""

    class Paced(base):
        connections: set[Any]
        raw_transport: asyncio.Transport

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            before = transport.get_protocol()  # it knows the transport beneath TLS
            self.raw_transport = getattr(before, "raw_transport", cast("asyncio.Transport", transport))
            self._departure = Departure(self.raw_transport)
            super().connection_made(transport)
            protocol = cast("Any", self)
            protocol.app = self._departure.counting(protocol.app)
            self._loop = asyncio.get_running_loop()
            self._last_beat = self._loop.time()
            self._loop.call_later(limits.beat, self._beat)

        def pause_writing(self) -> None:
            self._departure.writable.clear()
            super().pause_writing()

        def resume_writing(self) -> None:
            self._departure.writable.set()
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._departure.lost = True
            self._departure.writable.set()
            super().connection_lost(exc)

        def _beat(self) -> None:
            if self not in self.connections:  # lost, or a WebSocket by now
                return
            now = self._loop.time()
            seconds, self._last_beat = min(now - self._last_beat, 2 * limits.beat), now
            self._check(seconds)
            self._loop.call_later(limits.beat, self._beat)

        def _check(self, seconds: float) -> None:
            """Look at the connection again after so many seconds."""
            if self._departure.wait(seconds, limits, closing=cast("Any", self).transport.is_closing()):
                self.raw_transport.abort()

    return Paced


def paced_http(base: type[asyncio.Protocol], limits: Limits) -> type[asyncio.Protocol]:
    """A uvicorn protocol for HTTP whose clients have to send their requests in time, and in reasonable sizes."""
    steady: type[Any] = paced(base, limits)

    class PacedHttp(steady):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.app = _with_sound_head(self.app, limits)
            self._arrival: Arrival | None = Arrival()  # None between an answer and the next request

        def data_received(self, data: bytes) -> None:
            self._arrival = self._arrival or Arrival()
            self._arrival.came(len(data))
            cycle = self.cycle
            super().data_received(data)
            if self.cycle is not cycle:  # the head is complete; time starts anew for the body
                self._arrival = None

        def on_response_complete(self) -> None:
            self._arrival = None
            super().on_response_complete()

        def send_400_response(self, msg: str) -> None:
            # uvicorn answers every unreadable request with 400; h11 knows which ones are just too large.
            hint = getattr(sys.exception(), "error_status_hint", HTTPStatus.BAD_REQUEST)
            self._refuse(HTTPStatus(hint), msg)

        def _check(self, seconds: float) -> None:
            super()._check(seconds)
            if self.transport.is_closing():
                return
            cycle = self.cycle
            if cycle is None or cycle.response_complete:
                late = self._waited(self._arrival, seconds).late_head(limits) if self._arrival else False
            elif cycle.more_body and not self.flow.read_paused and not cycle.waiting_for_100_continue:
                self._arrival = self._arrival or Arrival()
                late = self._waited(self._arrival, seconds).late_body(limits)
            else:
                late = False
            if late:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time")

        def _waited(self, arrival: Arrival, seconds: float) -> Arrival:
            arrival.wait(seconds)
            return arrival

        def _refuse(self, status: HTTPStatus, message: str) -> None:
            """Answer, if that is still possible, and close."""
            cycle = self.cycle
            under_way = cycle is not None and not cycle.response_complete
            untouched = not under_way or not cycle.response_started
            if under_way:  # as when the client had left
                cycle.disconnected = True
                cycle.message_event.set()
            if untouched and (under_way or self._arrival is None or self._arrival.size):
                self.transport.write(plain_answer(status, message))
            self.transport.close()

    return PacedHttp


def _with_sound_head(app: ASGIApp, limits: Limits) -> ASGIApp:
    # Parsers bound what they have to keep, which a large head that comes in one piece never is.
    async def bounded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _head_size(scope) > limits.header_bytes:
            await _hang_up(send, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif scope["type"] == "http" and _has_two_lengths(scope):
            await _hang_up(send, HTTPStatus.BAD_REQUEST)
        else:
            await app(scope, receive, send)

    return bounded


def _head_size(scope: Scope) -> int:
    target = len(scope["raw_path"]) + len(scope["query_string"])
    return target + sum(len(name) + len(value) for name, value in scope["headers"])


def _has_two_lengths(scope: Scope) -> bool:
    # The usual way to smuggle a second request past a proxy in front of us (RFC 9112 sections 6.1 and 11.2).
    names = {name for name, _ in scope["headers"]}
    return {b"content-length", b"transfer-encoding"} <= names


async def _hang_up(send: Send, status: HTTPStatus) -> None:
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body"})


def plain_answer(status: HTTPStatus, message: str) -> bytes:
    """An answer on the wire, after which the connection ends."""
    body = message.encode("ascii", "replace")
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
