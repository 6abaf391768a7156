"""Clients that hold a connection without using it, and clients that only look like it."""

import asyncio
import select
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.websockets import WebSocket
from websockets.sync.client import connect as connect_websocket

from fg_tls.listener.limits import Limits
from fg_tls.listener.pace import Arrival
from fg_tls.pki.contexts import Material, client_context

from .listeners import LONGEST_WAIT
from .raw_client import Client

SHORT = Limits(
    handshake=0.4, headers=0.4, body_idle=0.4, body_grace=0.4, body_rate=1e5, send_idle=0.4, keep_alive=0.4, close=0.4
)
ONLY_IDLE = Limits(headers=0.4, body_idle=0.4, body_grace=60, body_rate=1, keep_alive=0.4, close=0.4)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
LARGE = 64 * 2**20


async def app(scope, receive, send):
    """`/` answers with the size of the body, `/large` with 64 MiB, `/slow` with a line each tenth of a second."""
    if scope["type"] == "websocket":
        await _echo(WebSocket(scope, receive, send))
        return
    request = Request(scope, receive)
    routes = {"/large": _large, "/slow": _slow, "/wait": _wait, "/deaf": _deaf}
    with suppress(Exception):  # clients that leave in the middle are what this is about
        response = await routes.get(request.url.path, _size)(request)
        await response(scope, receive, send)


async def _size(request):
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return PlainTextResponse(f"{size}")


async def _large(request):
    return StreamingResponse(bytes(2**16) for _ in range(LARGE // 2**16))


async def _slow(request):
    async def lines():
        for number in range(15):
            yield b"%d\n" % number
            await asyncio.sleep(0.1)

    return StreamingResponse(lines())


async def _wait(request):
    await asyncio.sleep(1.5)
    return PlainTextResponse("done")


async def _deaf(request):
    await asyncio.sleep(1.5)
    return await _size(request)


async def _echo(websocket):
    await websocket.accept()
    with suppress(Exception):
        while True:
            await websocket.send_text(await websocket.receive_text())


def drip(client, data):
    """Send one byte at a time until the server says something."""
    for byte in data:
        client.send(bytes([byte]))
        if select.select([client.socket], [], [], 0.02)[0]:
            return
    raise AssertionError("the server waits for ever")


def status(answer):
    return int(answer.split()[1]) if answer else None


def test_a_head_that_comes_one_byte_at_a_time_ends_with_408(serve_with, connect):
    with serve_with(app, limits=SHORT) as port:
        slow = connect(port)
        drip(slow, GET + b"X: " + b"x" * 5000)
        assert status(slow.rest()) == 408
        assert connect(port).get() == (200, b"0")


def test_a_head_that_stops_half_way_ends_with_408(serve_with, connect):
    with serve_with(app, limits=SHORT) as port:
        client = connect(port)
        client.send(GET)
        assert status(client.rest()) == 408


def test_a_second_head_that_stops_half_way_ends_with_408(serve_with, connect):
    with serve_with(app, limits=Limits(headers=0.4, close=0.4)) as port:
        client = connect(port)
        assert client.get() == (200, b"0")
        client.send(GET)
        assert status(client.rest()) == 408


def test_a_connection_without_a_request_is_closed_without_a_word(serve_with, connect):
    with serve_with(app, limits=SHORT) as port:
        assert connect(port).rest() == b""


def test_an_idle_connection_is_closed_after_an_answer(serve_with, connect):
    with serve_with(app, limits=SHORT) as port:
        client = connect(port)
        assert client.get() == (200, b"0")
        assert client.rest() == b""


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_a_body_that_stops_ends_with_408(serve_with, connect, framing):
    with serve_with(app, limits=ONLY_IDLE) as port:
        client = connect(port)
        client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n1\r\n")
        assert status(client.rest()) == 408


def test_a_body_that_drips_ends_with_408(serve_with, connect):
    with serve_with(app, limits=SHORT) as port:
        client = connect(port)
        client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        drip(client, bytes(5000))
        assert status(client.rest()) == 408


def test_an_upload_may_take_longer_than_every_limit_if_it_moves(serve_with, connect):
    with serve_with(app, limits=SHORT) as port:
        client = connect(port)
        client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1500000\r\n\r\n")
        for _ in range(15):
            assert client.send(bytes(100_000))
            time.sleep(0.1)
        assert client.answer() == (200, b"1500000")


def test_a_server_that_does_not_read_does_not_blame_the_client(serve_with, connect):
    with serve_with(app, limits=SHORT) as port:
        client = connect(port)
        client.send(b"POST /deaf HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16000000\r\n\r\n")
        assert client.send(bytes(16_000_000))
        assert client.answer() == (200, b"16000000")


def test_a_client_that_waits_to_be_asked_for_its_body_is_not_late(serve_with, connect):
    with serve_with(app, limits=SHORT) as port:
        client = connect(port)
        client.send(b"POST /deaf HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert client.answer() == (100, b"")
        client.send(b"abc")
        assert client.answer() == (200, b"3")


def test_a_client_that_never_reads_is_cut_off(serve_with, connect):
    with serve_with(app, limits=SHORT) as port:
        client = connect(port, receive_buffer=4096)
        client.send(GET.replace(b"/ ", b"/large ", 1) + b"\r\n")
        gone(port, client)
        assert len(client.rest()) < LARGE


def gone(port, client):
    """Wait until the server side of a connection no longer exists, as the kernel lists it."""
    own = f"{client.socket.getsockname()[1]:04X}"
    line = f"0100007F:{port:04X} 0100007F:{own} 01"
    end = time.monotonic() + LONGEST_WAIT
    while line in Path("/proc/net/tcp").read_text():
        assert time.monotonic() < end, "the server waits for ever"
        time.sleep(0.05)


def test_a_client_that_reads_slowly_gets_everything(serve_with, connect):
    with serve_with(app, limits=SHORT) as port:
        client = connect(port)
        client.send(GET.replace(b"/ ", b"/large ", 1) + b"Connection: close\r\n\r\n")
        received, pauses = 0, 12
        while piece := client.socket.recv(2**20):
            received += len(piece)
            if pauses and received > (13 - pauses) * 2**22:
                pauses -= 1
                time.sleep(0.1)
        assert received >= LARGE


@pytest.mark.parametrize("path", ["/slow", "/wait"])
def test_an_answer_may_take_longer_than_every_limit(serve_with, connect, path):
    with serve_with(app, limits=SHORT) as port:
        client = connect(port)
        client.send(GET.replace(b"/ ", path.encode() + b" ", 1) + b"Connection: close\r\n\r\n")
        answer = client.rest()
        assert status(answer) == 200
        assert (b"14\n" if path == "/slow" else b"done") in answer


def test_a_websocket_may_be_silent_for_longer_than_every_limit(serve_with, transport, source):
    trust = client_context(Material(authorities=source.now.authorities)) if transport == "tls" else None
    scheme = "wss" if trust else "ws"
    with (
        serve_with(app, limits=SHORT) as port,
        connect_websocket(f"{scheme}://localhost:{port}/", ssl=trust, open_timeout=LONGEST_WAIT) as websocket,
    ):
        time.sleep(1.5)
        websocket.send("still there")
        assert websocket.recv(timeout=LONGEST_WAIT) == "still there"


def test_a_websocket_client_that_never_reads_is_cut_off(serve_with, connect):
    async def talkative(scope, receive, send):
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        with suppress(Exception):
            while True:
                await websocket.send_bytes(bytes(2**16))

    with serve_with(talkative, limits=SHORT) as port:
        client = connect(port, receive_buffer=4096)
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        client.send(GET + upgrade + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        gone(port, client)


@pytest.mark.parametrize("count", [1, 40])
def test_a_head_that_is_too_large_ends_with_431(serve_with, connect, count):
    header = b"X-Large: " + b"x" * (40_000 // count) + b"\r\n"
    with serve_with(app, limits=Limits(header_bytes=32 * 2**10)) as port:
        client = connect(port)
        client.send(GET + header * count + b"\r\n")
        assert status(client.rest()) == 431
        assert connect(port).get(headers=[b"X-Large: " + b"x" * 20_000]) == (200, b"0")


@pytest.mark.parametrize("kind", ["h11-plain", "h11-tls"], indirect=True)  # httptools has no limit of its own
def test_a_head_without_an_end_does_not_fill_the_memory(serve_with, connect):
    with serve_with(app, limits=Limits()) as port:
        client = connect(port)
        client.send(GET + b"X: ")
        sent = 0
        while client.send(bytes(b"x" * 65536)) and sent < 2**26:
            sent += 65536
        assert sent < 2**26
        assert status(client.rest()) in (431, None)  # None: what we still sent made the kernel drop the answer


@pytest.mark.parametrize("kind", ["h11-tls"], indirect=True)
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)])
def test_a_handshake_that_stops_half_way_is_ended(serve_with, connect, sent):
    with serve_with(app, limits=SHORT) as port:
        half = Client(port)
        half.send(sent)
        assert connect(port).get() == (200, b"0")
        assert half.rest() == b""
        half.close()


@pytest.mark.parametrize("kind", ["h11-tls"], indirect=True)
def test_clear_text_on_a_tls_port_is_ended(serve_with, connect):
    with serve_with(app, limits=SHORT) as port:
        wrong = Client(port)
        wrong.send(GET + b"\r\n")
        assert b"200" not in wrong.rest()
        wrong.close()
        assert connect(port).get() == (200, b"0")


def test_too_many_connections_of_one_address_are_turned_away_and_others_are_not(serve_with, connect, transport):
    with serve_with(app, limits=Limits(connections_per_address=3)) as port:
        inside = [connect(port) for _ in range(3)]
        assert [client.get() for client in inside] == [(200, b"0")] * 3
        outside = Client(port)
        assert status(outside.rest()) == (503 if transport == "plain" else None)
        outside.close()
        assert connect(port, source="127.0.0.2").get() == (200, b"0")
        inside[0].close()
        _until_served(port, connect)


def test_too_many_connections_in_all_are_turned_away(serve_with, connect, transport):
    with serve_with(app, limits=Limits(connections=3)) as port:
        inside = [connect(port, source=f"127.0.0.{number}") for number in range(1, 4)]
        assert [client.get() for client in inside] == [(200, b"0")] * 3
        outside = Client(port, source="127.0.0.9")
        assert status(outside.rest()) == (503 if transport == "plain" else None)
        outside.close()
        inside[0].close()
        _until_served(port, connect)


def _until_served(port, connect):
    """The place of a client that left is free as soon as the server has noticed."""
    end = time.monotonic() + LONGEST_WAIT
    while time.monotonic() < end:
        with suppress(OSError, AssertionError):
            assert connect(port).get() == (200, b"0")
            return
        time.sleep(0.02)
    raise AssertionError("nobody is let in any more")


@pytest.mark.parametrize("kind", ["h11-tls"], indirect=True)
def test_handshakes_count_as_connections(serve_with, connect):
    with serve_with(app, limits=Limits(connections_per_address=3)) as port:
        started = [Client(port) for _ in range(3)]
        outside = Client(port)
        assert outside.rest() == b""
        for client in [*started, outside]:
            client.close()
        _until_served(port, connect)


def test_the_server_stops_although_clients_hold_on(serve_with, connect):
    with serve_with(app, limits=Limits()) as port:
        clients = [connect(port) for _ in range(3)]
        clients[0].send(GET)
        clients[1].send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        Client(port).send(b"\x16\x03\x01")
    assert [status(client.rest()) for client in clients if client is clients[2]] == [None]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=LONGEST_WAIT)


@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(0.01, 1.0)), min_size=1, max_size=50))
def test_a_body_is_never_late_at_twice_the_rate_and_always_late_at_half_of_it(steps):
    fast, slow = Arrival(), Arrival()
    limits = Limits(body_grace=1.0, body_idle=100.0, body_rate=1000.0)
    for size, _ in steps:
        fast.came(size)
        fast.wait(size / 2000)
        assert not fast.late_body(limits)
        slow.came(size)
        slow.wait(1.01 + size / 500)
    assert slow.late_body(limits)


def test_limits_are_looked_at_often_enough():
    assert Limits().beat == 0.5
    assert pytest.approx(0.1) == SHORT.beat
