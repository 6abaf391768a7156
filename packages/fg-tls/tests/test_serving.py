"""Starting, refusing to start, and ending."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount, Route

from fg_tls import (
    PUBLIC,
    AccessTable,
    PortInUseError,
    TokenStore,
    UnlistedRouteError,
    bind,
    read_token,
    serve,
    token_path,
)

SCRIPT = """
import logging, sys
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route
from fg_tls import AccessTable, TokenStore, serve, token
logging.basicConfig(level="INFO", format="%(message)s")
async def forever(request):
    async def ticks():
        import asyncio
        while True:
            yield b"tick"
            await asyncio.sleep(0.01)
    return StreamingResponse(ticks())
async def deaf(request):
    import asyncio
    await asyncio.sleep(1000)
serve(
    Starlette(routes=[Route("/forever", forever), Route("/deaf", deaf)]),
    service="test",
    port=0,
    access=AccessTable({("GET", "/forever"): token(), ("GET", "/deaf"): token()}),
    tokens=TokenStore(),
    ready=lambda serving: print(serving.port, serving.token_file, flush=True),
)
print("after", flush=True)
"""


def _app(*routes):
    return Starlette(routes=list(routes))


async def _nothing(request):
    return Response()


def test_a_route_without_declared_access_keeps_the_server_from_starting():
    app = _app(Route("/a", _nothing), Route("/b/{x}", _nothing, methods=["POST", "GET"]))
    table = AccessTable({("GET", "/a"): PUBLIC, ("GET", "/b/{x}"): PUBLIC})
    with pytest.raises(UnlistedRouteError, match=r"no access is declared for POST /b/\{x\};"):
        serve(app, service="test", port=0, access=table, tokens=TokenStore())


def test_access_for_a_route_that_does_not_exist_is_an_error():
    table = AccessTable({("GET", "/a"): PUBLIC, ("GET", "/typo"): PUBLIC})
    with pytest.raises(UnlistedRouteError, match="GET /typo, which"):
        serve(_app(Route("/a", _nothing)), service="test", port=0, access=table, tokens=TokenStore())


def test_mounted_applications_are_refused():
    app = _app(Mount("/inner", routes=[Route("/a", _nothing)]))
    with pytest.raises(UnlistedRouteError, match="/inner is a Mount"):
        serve(app, service="test", port=0, access=AccessTable({}), tokens=TokenStore())


def test_a_port_in_use(server):
    with pytest.raises(PortInUseError, match=rf"^port {server.serving.port} on 127\.0\.0\.1 is in use"):
        bind("127.0.0.1", server.serving.port)


def test_a_socket_bound_before_is_served(start):
    listener = bind("localhost", 0)
    port = listener.getsockname()[1]
    server = start(sockets=[listener])
    assert server.serving.port == port
    assert server.serving.url == f"http://127.0.0.1:{port}"
    assert server.ask()[0] == 200


def test_the_token_file_is_private(server, config_directory):
    path = server.serving.token_file
    assert path == config_directory / "test" / f"{server.serving.port}.token" == token_path("test", server.serving.port)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert len(path.read_text().strip()) == 64 and int(path.read_text(), 16)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("route", ["/forever", "/deaf"])
def test_a_signal_ends_open_requests_and_leaves_nothing_behind(tmp_path, number, route):
    environment = os.environ | {"FORGATHER_CONFIG_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        port, token_file = process.stdout.readline().split()
        with socket.create_connection(("127.0.0.1", int(port)), timeout=30) as connection:
            bearer = f"Authorization: Bearer {read_token(tmp_path / 'test' / f'{port}.token')}"
            connection.sendall(f"GET {route} HTTP/1.1\r\nHost: localhost\r\n{bearer}\r\n\r\n".encode())
            if route == "/forever":
                assert connection.recv(15) == b"HTTP/1.1 200 OK"
            process.send_signal(number)
            process.send_signal(number)  # impatience changes nothing
            out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out) == (0, "after\n")
    assert err.splitlines() == [f"test listens on 127.0.0.1 port {port}", f"test on port {port} has stopped"]
    assert not Path(token_file).exists()
