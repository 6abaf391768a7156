"""The server that is attacked, as a process of its own: `python served_app.py DIRECTORY HOST [--impatient]`.

DIRECTORY holds the tokens; the server adds `port` when it listens, and a line to `entries` whenever a request gets past
the guard. What it logs goes to standard error.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from fg_config.files import atomic_write
from fg_tls import PUBLIC, WEBSOCKET, AccessTable, Serving, Store, TokenStore, certificate, serve, token
from fg_tls.listener.limits import Limits

ACCESS = AccessTable(
    {
        ("GET", "/health"): PUBLIC,
        ("GET", "/items"): token("read") | certificate(),
        ("GET", "/items/{name}"): token("read") | certificate(),
        ("POST", "/upload"): token("write") | certificate("member"),
        ("GET", "/peers"): certificate("member"),
        ("GET", "/stream"): token("read"),
        (WEBSOCKET, "/events"): token("read") | certificate("member"),
    }
)
IMPATIENT = Limits(handshake=1.0, headers=1.0, body_idle=1.0, body_grace=1.0, send_idle=1.0, keep_alive=1.0, close=1.0)


async def answer(request: Request) -> JSONResponse:
    return JSONResponse({"path": request.url.path})


async def upload(request: Request) -> JSONResponse:
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return JSONResponse({"size": size})


async def stream(request: Request) -> StreamingResponse:
    async def pieces():
        for _ in range(1024):
            yield bytes(65536)

    return StreamingResponse(pieces())


async def events(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


class CountedApp(Starlette):
    """Writes down what reaches it."""

    entries: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            os.write(self.entries, f"{scope.get('method', WEBSOCKET)} {scope['path']!r}\n".encode())
        await super().__call__(scope, receive, send)


def main(directory: Path, host: str, limits: Limits) -> None:
    """Serve with the certificate of the TLS directory if there is one."""
    logging.basicConfig(level=logging.INFO)
    routes = [
        Route("/health", answer),
        Route("/items", answer),
        Route("/items/{name}", answer),
        Route("/upload", upload, methods=["POST"]),
        Route("/peers", answer),
        Route("/stream", stream),
        WebSocketRoute("/events", events),
    ]
    app = CountedApp(routes=routes)
    app.entries = os.open(directory / "entries", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def ready(serving: Serving) -> None:
        assert serving.tls == Store().provisioned
        atomic_write(directory / "port", str(serving.port))

    tokens = TokenStore(directory / "tokens")
    serve(app, service="attacked", host=host, port=0, access=ACCESS, tokens=tokens, limits=limits, ready=ready)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], IMPATIENT if "--impatient" in sys.argv else Limits())
