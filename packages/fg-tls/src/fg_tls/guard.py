"""One wrapper around an application that refuses what is not declared, before anything is routed."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fg_tls.access import WEBSOCKET, Access, AccessTable
from fg_tls.hosts import AllowedHosts, foreign_origin
from fg_tls.identity import PEER, Peer, client_certificate
from fg_tls.peers import Peers
from fg_tls.tokens import TokenStore

MAX_BODY_BYTES: Final = 64 * 2**20
_BEARER: Final = b"bearer "


class Guard:
    """An ASGI application that checks host, origin, credentials and size of every request to `app`.

    When `closing` is set, applications that wait for their client are told that it is gone, so that open streams end.
    """

    def __init__(
        self, app: ASGIApp, *, access: AccessTable, tokens: TokenStore, hosts: AllowedHosts, peers: Peers | None = None
    ) -> None:
        self.app = app
        self.access = access
        self.tokens = tokens
        self.hosts = hosts
        self.peers = peers  # None: certificates of clients count for nothing
        self.closing = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request, and hand every other one to the application."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        refusal = self._refusal(scope)
        if refusal is None:
            return await self._forward(scope, receive, send)
        if scope["type"] == "websocket":
            # A close before the handshake is answered is an HTTP 403 on the wire.
            return await send({"type": "websocket.close", "code": 1008})
        await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if not self.hosts.allows(headers):
            return _refuse(421, f"the Host header must be one of {self.hosts}")
        if foreign_origin(headers, scope["scheme"]):
            return _refuse(403, "pages of other sites may not call this server")
        needed = self.access.find(scope.get("method", WEBSOCKET), scope["path"])
        if needed and all(access.public for access in needed):
            return _oversized(headers)
        callers = self._callers(scope, headers)
        if not callers:
            return _refuse(401, "a valid bearer token is needed", {"WWW-Authenticate": "Bearer"})
        if not needed:
            return self._nowhere(scope)
        admitted = next((peer for peer in callers if all(access.admits(peer) for access in needed)), None)
        if admitted is None:
            return _not_enough(needed)
        scope.setdefault("extensions", {})[PEER] = admitted
        return _oversized(headers)

    def _callers(self, scope: Scope, headers: Headers) -> list[Peer]:
        """Whom the caller has shown to be: the holder of a certificate, the bearer of a token, or both."""
        certificate = client_certificate(scope) if self.peers else None
        holder = self.peers.peer(certificate) if self.peers and certificate else None
        return [peer for peer in (holder, self._bearer(headers)) if peer is not None]

    def _bearer(self, headers: Headers) -> Peer | None:
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


def _oversized(headers: Headers) -> JSONResponse | None:
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        return _refuse(413, f"the body is larger than {MAX_BODY_BYTES:,} bytes", {"Connection": "close"})
    return None


def _not_enough(needed: tuple[Access, ...]) -> JSONResponse:
    scopes = " ".join(sorted(frozenset().union(*(access.scopes or () for access in needed))))
    roles = " or ".join(sorted(frozenset().union(*(access.roles for access in needed))))
    if not scopes:
        return _refuse(
            403, f"a certificate of the role {roles} is needed" if roles else "the token does not reach here"
        )
    challenge = f'Bearer error="insufficient_scope", scope="{scopes}"'
    return _refuse(403, f"the token lacks a scope: {scopes} needed", {"WWW-Authenticate": challenge})


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
