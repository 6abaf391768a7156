"""One wrapper around an application that refuses what is not declared, before anything is routed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fg_tls.listener.access import WEBSOCKET, Access, AccessTable
from fg_tls.listener.exchange import Exchange, ended_on_purpose
from fg_tls.listener.hosts import AllowedHosts, foreign_origin
from fg_tls.listener.identity import PEER, TOKEN_NEEDED, Peer, client_certificate
from fg_tls.listener.peers import Peers
from fg_tls.listener.throttle import Throttle
from fg_tls.listener.tokens import TokenStore

MAX_BODY_BYTES: Final = 64 * 2**20
_BEARER: Final = b"bearer "
_BEARER_WANTED: Final = {"WWW-Authenticate": "Bearer"}
_NO_HEADERS: Final[Mapping[str, str]] = {}
_CONTENT_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_RECHECK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Caller:
    """Somebody who has shown a credential, and whether it still counts."""

    peer: Peer
    valid: Callable[[], bool]


class Guard:
    """An ASGI application that checks host, origin, credentials and size of every request to `app`.

    While `watch` runs, what is open ends within seconds when the credential that opened it is withdrawn or runs out.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: AccessTable,
        tokens: TokenStore,
        hosts: AllowedHosts,
        peers: Peers | None = None,
        max_body: int = MAX_BODY_BYTES,
        throttle: Throttle | None = None,
    ) -> None:
        self.app = app
        self.access = access
        self.tokens = tokens
        self.hosts = hosts
        self.peers = peers  # None: certificates of clients count for nothing
        self.max_body = max_body
        self.throttle = throttle or Throttle()
        self.closing = False
        self.draining = False  # answer, and say that the connection ends with this answer
        self._open: set[Exchange] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request, and hand every other one to the application."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        send = self._last_words(send) if scope["type"] == "http" else send
        admitted = self._admit(scope)
        if isinstance(admitted, JSONResponse):
            return await _answer(admitted, scope, receive, send)
        if admitted is not None:
            scope.setdefault("extensions", {})[PEER] = admitted.peer
        valid = admitted.valid if admitted is not None else None
        exchange = Exchange(scope, receive, send, max_body=self.max_body, valid=valid)
        self._open.add(exchange)
        try:
            if self.closing:
                exchange.end()
            await exchange.run(self.app)
            if exchange.overfull:
                await self._too_large()(scope, receive, send)
        finally:
            self._open.discard(exchange)

    @property
    def idle(self) -> bool:
        """Whether no admitted request is under way."""
        return not self._open

    def _last_words(self, send: Send) -> Send:
        async def say(message: Message) -> None:
            if self.draining and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        return say

    def close(self) -> None:
        """End what is open: applications that wait for their client are told that it is gone."""
        self.closing = True
        for exchange in self._open:
            exchange.end()

    async def watch(self) -> None:
        """End what was opened with a credential that does not count any more, until cancelled."""
        while True:
            await asyncio.sleep(_RECHECK_SECONDS)
            for exchange in tuple(self._open):
                if not exchange.valid:
                    exchange.end()

    def _admit(self, scope: Scope) -> JSONResponse | _Caller | None:
        """Who calls a route that is theirs to call; None on a public one; otherwise the refusal."""
        headers = Headers(scope=scope)
        if not self.hosts.allows(headers):
            return _refuse(421, f"the Host header must be one of {self.hosts}")
        if foreign_origin(headers, scope["scheme"]):
            return _refuse(403, "pages of other sites may not call this server")
        needed = self.access.find(scope.get("method", WEBSOCKET), scope["path"])
        if needed and all(access.public for access in needed):
            return self._oversized(headers)
        callers = self._callers(scope, headers)
        if isinstance(callers, JSONResponse):
            return callers
        if not needed:
            return self._nowhere(scope)
        admitted = next((each for each in callers if all(access.admits(each.peer) for access in needed)), None)
        if admitted is None:
            return _not_enough(needed, callers)
        return self._oversized(headers) or admitted

    def _callers(self, scope: Scope, headers: Headers) -> list[_Caller] | JSONResponse:
        """Whom the caller has shown to be: the holder of a certificate, the bearer of a token, or both."""
        holder = self._holder(scope)
        if "authorization" not in headers:
            return [holder] if holder is not None else _refuse_unknown()
        bearer = self._bearer(headers)
        if bearer is None and holder is None:
            wait = self.throttle.failed((scope.get("client") or ("",))[0])
            return _refuse_for(wait) if wait else _refuse_unknown()
        return [each for each in (holder, bearer) if each is not None]

    def _holder(self, scope: Scope) -> _Caller | None:
        der = client_certificate(scope) if self.peers else None
        if self.peers is None or der is None:
            return None
        peers = self.peers
        peer = peers.peer(der)
        return _Caller(peer=peer, valid=lambda: peers.peer(der) is not None) if peer is not None else None

    def _bearer(self, headers: Headers) -> _Caller | None:
        """The bearer of the one Authorization header; the bytes are compared as they came, whatever they are."""
        values = [value for name, value in headers.raw if name == b"authorization"]
        if len(values) != 1 or values[0][: len(_BEARER)].lower() != _BEARER:
            return None
        presented = values[0][len(_BEARER) :].strip()
        peer = self.tokens.peer(presented)
        return _Caller(peer=peer, valid=lambda: self.tokens.peer(presented) == peer) if peer is not None else None

    def _nowhere(self, scope: Scope) -> JSONResponse:
        # The method of a WebSocket's handshake is GET, which is nothing that one could advise.
        methods = self.access.methods(scope["path"]) if scope["type"] == "http" else []
        if methods:
            return _refuse(405, f"use {' or '.join(methods)} here", {"Allow": ", ".join(methods)})
        return _refuse(404, "there is nothing at this path")

    def _oversized(self, headers: Headers) -> JSONResponse | None:
        length = headers.get("content-length", "0")
        if not _CONTENT_LENGTH.fullmatch(length) or int(length) > self.max_body:
            return self._too_large()
        return None

    def _too_large(self) -> JSONResponse:
        return _refuse(413, f"the body is larger than {self.max_body:,} bytes", {"Connection": "close"})


async def _answer(refusal: JSONResponse, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket" and "websocket.http.response" not in (scope.get("extensions") or {}):
        # All that is left is a close before the handshake is answered, an HTTP 403 on the wire.
        return await send({"type": "websocket.close", "code": 1008})
    if scope["type"] == "websocket":
        ended_on_purpose.set(True)  # uvicorn takes the answer for a handshake that was not completed
        del refusal.headers["content-length"]  # uvicorn adds one, at first even to that of the application
    await refusal(scope, receive, send)


def _not_enough(needed: tuple[Access, ...], callers: list[_Caller]) -> JSONResponse:
    by_certificate_alone = all(each.peer.role is not None for each in callers)
    if by_certificate_alone and all(access.scopes is not None for access in needed):
        # Not 403, which says that no other credentials would help (RFC 9110, section 15.5.4).
        return _refuse(
            401, "a bearer token is needed here; the certificate is not enough", _BEARER_WANTED, code=TOKEN_NEEDED
        )
    scopes = " ".join(sorted(frozenset().union(*(access.scopes or () for access in needed))))
    roles = " or ".join(sorted(frozenset().union(*(access.roles for access in needed))))
    if not scopes:
        return _refuse(
            403, f"a certificate of the role {roles} is needed" if roles else "the token does not reach here"
        )
    challenge = f'Bearer error="insufficient_scope", scope="{scopes}"'
    return _refuse(403, f"the token lacks a scope: {scopes} needed", {"WWW-Authenticate": challenge})


def _refuse_unknown() -> JSONResponse:
    return _refuse(401, "a valid bearer token is needed", _BEARER_WANTED, code="invalid_api_key")


def _refuse_for(seconds: int) -> JSONResponse:
    message = f"too many wrong tokens; wait {seconds} s"
    return _refuse(429, message, {"Retry-After": str(seconds), "WWW-Authenticate": "Bearer"})


def _refuse(
    status: int, message: str, headers: Mapping[str, str] = _NO_HEADERS, *, code: str | None = None
) -> JSONResponse:
    """An error in the form that OpenAI's clients read.

    What is refused depends on who asks, so no cache may keep it: 404 and 405 are kept by default (RFC 9110, 15.1).
    """
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    return JSONResponse({"error": error}, status_code=status, headers={"Cache-Control": "no-store", **headers})
