"""One wrapper around an application that refuses what is not declared, before anything is routed."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fg_tls.access import AccessTable
from fg_tls.hosts import foreign_origin, wrong_host
from fg_tls.tokens import Peer, TokenStore

MAX_BODY_BYTES: Final = 64 * 2**20
_BEARER: Final = b"bearer "


class Guard:
    """An ASGI application that checks host, origin, token and size of every request to `app`.

    When `closing` is set, applications that wait for their client are told that it is gone, so that open streams end.
    """

    def __init__(self, app: ASGIApp, *, access: AccessTable, tokens: TokenStore) -> None:
        self.app = app
        self.access = access
        self.tokens = tokens
        self.closing = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request, and hand every other one to the application."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            # A close before the handshake is answered is an HTTP 403 on the wire.
            return await send({"type": "websocket.close", "code": 1008})
        refusal = self._refusal(scope)
        if refusal is not None:
            return await refusal(scope, receive, send)
        await self._forward(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if wrong_host(headers):
            return _refuse(421, "the Host header must be localhost, 127.0.0.1 or [::1]")
        if foreign_origin(headers):
            return _refuse(403, "pages of other sites may not call this server")
        access = self.access.find(scope["method"], scope["path"])
        if access is not None and access.public:
            return self._oversized(headers)
        peer = self._peer(headers)
        if peer is None:
            return _refuse(401, "a valid bearer token is needed", {"WWW-Authenticate": "Bearer"})
        if access is None:
            return self._nowhere(scope)
        if not peer.has(access.scopes):
            needed = " ".join(sorted(access.scopes))
            challenge = f'Bearer error="insufficient_scope", scope="{needed}"'
            return _refuse(403, f"the token lacks a scope: {needed} needed", {"WWW-Authenticate": challenge})
        scope.setdefault("extensions", {})["forgather.peer"] = peer
        return self._oversized(headers)

    def _peer(self, headers: Headers) -> Peer | None:
        """The bearer of the one Authorization header; the bytes are compared as they came, whatever they are."""
        values = [value for name, value in headers.raw if name == b"authorization"]
        if len(values) != 1 or values[0][: len(_BEARER)].lower() != _BEARER:
            return None
        return self.tokens.peer(values[0][len(_BEARER) :].strip())

    def _nowhere(self, scope: Scope) -> JSONResponse:
        methods = self.access.methods(scope["path"])
        if methods:
            return _refuse(405, f"use {' or '.join(methods)} here", {"Allow": ", ".join(methods)})
        return _refuse(404, "there is nothing at this path")

    def _oversized(self, headers: Headers) -> JSONResponse | None:
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return _refuse(413, f"the body is larger than {MAX_BODY_BYTES:,} bytes", {"Connection": "close"})
        return None

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = 0

        async def receive_until_closing() -> Message:
            nonlocal received
            message = await _first(receive, self.closing)
            received += len(message.get("body", b""))
            # A body without a declared length ends here; its sender is treated as gone.
            return message if received <= MAX_BODY_BYTES else {"type": "http.disconnect"}

        try:
            await self.app(scope, receive_until_closing, send)
        except asyncio.CancelledError:
            if not self.closing.is_set():
                raise


async def _first(receive: Receive, closing: asyncio.Event) -> Message:
    """The next message, or a disconnect as soon as `closing` is set."""
    message = asyncio.ensure_future(_call(receive))
    closed = asyncio.ensure_future(closing.wait())
    try:
        await asyncio.wait({message, closed}, return_when=asyncio.FIRST_COMPLETED)
        return message.result() if message.done() else {"type": "http.disconnect"}
    finally:
        message.cancel()
        closed.cancel()


async def _call(receive: Receive) -> Message:
    return await receive()


def _refuse(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error in the form that OpenAI's clients read."""
    error: dict[str, Any] = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    if status == 401:
        error |= {"type": "authentication_error", "code": "invalid_api_key"}
    return JSONResponse({"error": error}, status_code=status, headers=headers)
