"""One admitted request, which ends when its application is done, its credential fails, or the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

_GRACE_SECONDS: Final = 3.0
_POLICY_VIOLATION: Final = 1008  # RFC 6455 section 7.4.1

# Set in the task of a request that we ended: what uvicorn says about it is no news then.
ended_on_purpose: ContextVar[bool] = ContextVar("ended_on_purpose", default=False)


class Exchange:
    """A request or WebSocket on its way through an application.

    `valid` says whether the credential that opened it still counts. After `end()`, the application is told that its
    client is gone; if it does not listen, it is cancelled a little later.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, max_body: int, valid: Callable[[], bool] | None
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._room = max_body
        self._valid = valid
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.current_task()
        self._cancel: asyncio.TimerHandle | None = None
        self._coming: asyncio.Future[Message] | None = None
        self._answered = False
        self._accepted = False
        self._closed = False

    @property
    def valid(self) -> bool:
        return self._valid is None or self._valid()

    @property
    def overfull(self) -> bool:
        """Whether the body was too large, and has not been answered."""
        return self._room < 0 and not self._answered

    def end(self) -> None:
        """Let the application stop; may be called more than once."""
        if not self._ended.done() and self._task is not None:
            self._ended.set_result(None)
            self._cancel = asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._task.cancel)

    async def run(self, app: ASGIApp) -> None:
        """Hand the request to `app`; returns when it is over, for whatever reason."""
        try:
            await app(self._scope, self._next, self._answer)
        except asyncio.CancelledError:
            if not self._ended.done():
                raise
        except (ClientDisconnect, WebSocketDisconnect):
            # Whoever leaves in the middle of a body or a conversation must not fill our log with tracebacks.
            ended_on_purpose.set(True)
        finally:
            if self._cancel is not None:
                self._cancel.cancel()
            if self._coming is not None:
                self._coming.cancel()
            if self._ended.done():
                ended_on_purpose.set(True)
                await self._close_websocket()

    async def _next(self) -> Message:
        message = await self._first()
        # Parts of WebSocket messages are limited by the protocol.
        self._room -= len(message.get("body", b""))
        # A body without a declared length ends here; its sender is treated as gone.
        return message if self._room >= 0 else self._gone()

    async def _first(self) -> Message:
        """The next message, or a disconnect as soon as the exchange was ended.

        An application may give up waiting, and ask again later: what came in between is kept for it.
        """
        while True:
            coming = self._coming = self._coming or asyncio.ensure_future(_call(self._receive))
            await asyncio.wait((coming, self._ended), return_when=asyncio.FIRST_COMPLETED)
            if self._coming is coming and coming.done():  # of two who wait, one gets it
                self._coming = None
                return coming.result()
            if self._ended.done():
                return self._gone()

    def _gone(self) -> Message:
        if self._scope["type"] == "websocket":
            return {"type": "websocket.disconnect", "code": _POLICY_VIOLATION}
        return {"type": "http.disconnect"}

    async def _answer(self, message: Message) -> None:
        if self.overfull:
            return  # whatever the application makes of a body that breaks off: the answer is that it was too large
        self._answered |= message["type"] == "http.response.start"
        self._accepted |= message["type"] == "websocket.accept"
        self._closed |= message["type"] == "websocket.close"
        await self._send(message)

    async def _close_websocket(self) -> None:
        if self._accepted and not self._closed:
            reason = "the credential of this connection does not count any more"
            await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})


async def _call(receive: Receive) -> Message:
    return await receive()
