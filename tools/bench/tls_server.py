"""`python -m tools.bench.tls_server HTTP TRANSPORT DIRECTORY`: one of the servers that `tools.bench.tls` measures.

It says its port on standard output, and ends when standard input does.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from fg_tls import Store
from fg_tls.listener.protocol import protocol_options
from fg_tls.pki.contexts import server_context

CHUNK: Final = bytes(2**18)
_PROTOCOLS: Final[dict[str, type[asyncio.Protocol]]] = {"h11": H11Protocol, "httptools": HttpToolsProtocol}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """`GET /N` answers with N bytes, `POST /` with the size of the body."""
    if scope["method"] == "POST":
        await _answer(send, b"%d" % await _size(receive))
    else:
        await _download(send, int(scope["path"][1:]))


async def _size(receive: Receive) -> int:
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    return size


async def _answer(send: Send, body: bytes) -> None:
    await _start(send, len(body))
    await send({"type": "http.response.body", "body": body})


async def _download(send: Send, size: int) -> None:
    await _start(send, size)
    for _ in range(size // len(CHUNK)):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": bytes(size % len(CHUNK))})


async def _start(send: Send, size: int) -> None:
    headers = [(b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


def options(http: str, transport: str, directory: Path) -> dict[str, Any]:
    """What `uvicorn.Config` needs; `transport` is plain, tls or mtls, and `uvicorn` before it leaves out our limits."""
    bare, kind = transport.startswith("uvicorn "), transport.removeprefix("uvicorn ")
    context = server_context(Store(directory)) if kind != "plain" else None
    if not bare:
        return protocol_options(_PROTOCOLS[http], WebSocketsSansIOProtocol, context=context)

    def make(_config: uvicorn.Config, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext | None:
        return context

    return {"http": _PROTOCOLS[http], "ws": "none", "ssl_context_factory": make if context else None}


class _Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"{self.servers[0].sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        asyncio.get_running_loop().run_in_executor(None, self._wait_for_the_end)

    def _wait_for_the_end(self) -> None:
        sys.stdin.read()
        self.should_exit = True


def main() -> None:
    """Serve until standard input ends."""
    http, transport, directory = sys.argv[1:]
    config = uvicorn.Config(
        app,
        port=0,
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        **options(http, transport, Path(directory)),
    )
    _Server(config).run()


if __name__ == "__main__":
    main()
