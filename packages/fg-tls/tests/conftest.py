import http.client
import queue
import socket
import threading
from contextlib import ExitStack, contextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from fg_tls import PUBLIC, AccessTable, TokenStore, read_token, serve, token

LONGEST_WAIT = 30


async def health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def echo(request: Request) -> JSONResponse:
    body = await request.body()
    peer = request.scope["extensions"]["forgather.peer"]
    return JSONResponse({"path": request.url.path, "size": len(body), "scopes": sorted(peer.scopes or ["*"])})


async def forever(request: Request) -> StreamingResponse:
    async def ticks():
        yield b"first\n"
        while not await request.is_disconnected():
            yield b"tick\n"

    return StreamingResponse(ticks())


ROUTES = [
    Route("/health", health),
    Route("/items", echo, methods=["GET", "POST"]),
    Route("/items/{name}", echo, methods=["DELETE"]),
    Route("/forever", forever),
]
ACCESS = AccessTable(
    {
        ("GET", "/health"): PUBLIC,
        ("GET", "/items"): token("read"),
        ("POST", "/items"): token("write"),
        ("DELETE", "/items/{name}"): token("write", "admin"),
        ("GET", "/forever"): token(),
    }
)


@pytest.fixture(autouse=True)
def config_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.delenv("FORGATHER_TLS_DIR", raising=False)
    return tmp_path / "config"


class Running:
    """A served application, and ways to talk to it."""

    def __init__(self, serving):
        self.serving = serving
        self.token = read_token(serving.token_file)

    def ask(self, method="GET", path="/items", *, body=None, token=None, headers=()):
        """(status, headers, body) of one request; `token` None sends the right one."""
        connection = http.client.HTTPConnection(self.serving.host, self.serving.port, timeout=LONGEST_WAIT)
        sent = {"Authorization": f"Bearer {self.token if token is None else token}"} | dict(headers)
        connection.request(method, path, body, {name: value for name, value in sent.items() if value is not None})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def status(self, *lines: bytes) -> int:
        """The status that comes back for these request lines, sent byte for byte as given."""
        return int(self.raw(*lines).split(maxsplit=2)[1])

    def raw(self, *lines: bytes) -> bytes:
        with self.connect() as connection:
            connection.sendall(b"\r\n".join([*lines, b"Connection: close", b"", b""]))
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        return answer

    def connect(self):
        return socket.create_connection((self.serving.host, self.serving.port), timeout=LONGEST_WAIT)


@contextmanager
def running(tokens=None, *, routes=ROUTES, **options):
    started = queue.Queue()
    options = {"service": "test", "port": 0, "access": ACCESS, "tokens": tokens or TokenStore()} | options
    arguments = options | {"ready": started.put}
    thread = threading.Thread(target=serve, args=(Starlette(routes=routes),), kwargs=arguments)
    thread.start()
    serving = started.get(timeout=LONGEST_WAIT)
    try:
        yield Running(serving)
    finally:
        serving.stop()
        thread.join(LONGEST_WAIT)
        assert not thread.is_alive()


@pytest.fixture
def run():
    """A context manager for a server that ends before the test does."""
    return running


@pytest.fixture
def start():
    """Starts servers that end with the test."""
    with ExitStack() as stack:
        yield lambda tokens=None, **options: stack.enter_context(running(tokens, **options))


@pytest.fixture
def server(start):
    return start()
