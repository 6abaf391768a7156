"""uvicorn's WebSocket protocol for clients that send what costs nothing to send: pings, and parts of messages.

uvicorn stops reading for each message until the application takes it. Pings are answered at once, and parts are kept
until their message is complete, so that without bounds a client makes us keep as much of either as it likes. An opening
that cannot be read (a POST, too many headers) is not answered by uvicorn at all, and would be held for ever.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final, cast

from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame

from fg_tls.listener.limits import Limits
from fg_tls.listener.pace import paced, plain_answer

# Each part takes some 100 bytes of ours, be it empty. A message of the largest size has these in parts of 1 KiB.
MOST_PARTS: Final = 16_384


def paced_websocket(base: type[asyncio.Protocol], limits: Limits) -> type[asyncio.Protocol]:
    """A uvicorn protocol for WebSockets that reads only while its client reads too."""
    steady: type[Any] = paced(base, limits)

    class PacedWebSocket(steady):
        _parts = 0
        _held = b""

        def data_received(self, data: bytes) -> None:
            if self._departure.writable.is_set():
                super().data_received(data)
                if not self.handshake_initiated:  # the whole head comes at once, from the protocol for HTTP
                    self._refuse()
            else:  # uvicorn itself may have resumed reading, for the next message
                self._held += data
                self.transport.pause_reading()

        def resume_writing(self) -> None:
            super().resume_writing()
            held, self._held = self._held, b""
            if held:
                super().data_received(held)
                if not self.read_paused:
                    self.transport.resume_reading()

        def handle_text(self, event: Frame) -> None:
            self._parts = 0
            super().handle_text(event)

        def handle_bytes(self, event: Frame) -> None:
            self._parts = 0
            super().handle_bytes(event)

        def handle_cont(self, event: Frame) -> None:
            self._parts += 1
            if self.close_sent:
                return
            if self._parts <= MOST_PARTS:
                super().handle_cont(event)
            else:
                self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"a message of more than {MOST_PARTS} parts")
                self.handle_parser_exception()

        def _refuse(self) -> None:
            own = b"".join(self.conn.data_to_send())
            self.transport.write(own or plain_answer(HTTPStatus.BAD_REQUEST, "this opens no WebSocket"))
            self.transport.close()
            self.handshake_complete = self.close_sent = True  # nothing else may be said

        def shutdown(self) -> None:
            try:
                super().shutdown()
            except InvalidState:  # the client says good-bye, which breaks off uvicorn's own end
                cast("asyncio.Transport", self.transport).close()

    return PacedWebSocket
