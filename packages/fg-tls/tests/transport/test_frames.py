"""WebSocket clients that send what is answered or kept, and read late or never."""

import select
import threading

import pytest

from fg_tls.listener.frames import MOST_PARTS
from fg_tls.listener.limits import Limits

from .listeners import LONGEST_WAIT
from .test_slow_clients import app

OPENING = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PINGS = 200_000  # more than all the buffers between the two take
FULL = 0.5  # seconds in which a server that reads takes more


def frame(first, payload):
    """A frame of less than 126 bytes, masked with zeros."""
    return bytes([first, 0x80 | len(payload)]) + bytes(4) + payload


@pytest.fixture
def websocket(serve_with, connect):
    with serve_with(app, limits=Limits()) as port:
        client = connect(port, receive_buffer=4096)
        client.send(OPENING)
        assert client.answer() == (101, b"")
        yield client


def received(client, size):
    data = bytearray()
    while len(data) < size and (piece := client.socket.recv(min(2**16, size - len(data)))):
        data += piece
    return bytes(data)


@pytest.mark.parametrize("kind", ["h11-plain", "h11-tls"], indirect=True)
def test_pings_that_are_not_read_at_once_are_all_answered_in_order_later(websocket):
    numbered = [b"%0100d" % number for number in range(PINGS)]
    data = memoryview(b"".join(frame(0x89, each) for each in numbered) + frame(0x81, b"hello"))
    websocket.socket.setblocking(False)
    sent = 0
    while sent < len(data) and select.select([], [websocket.socket], [], FULL)[1]:
        sent += websocket.socket.send(data[sent : sent + 16384])
    assert sent < len(data)  # it does not read on for ever
    websocket.socket.setblocking(True)
    expected = b"".join(b"\x8a\x64" + each for each in numbered) + b"\x81\x05hello"
    rest = threading.Thread(target=websocket.send, args=(data[sent:],))
    rest.start()
    answer = received(websocket, len(expected))
    rest.join(LONGEST_WAIT)
    assert answer == expected


@pytest.mark.parametrize("kind", ["h11-plain"], indirect=True)
def test_messages_have_as_many_parts_as_they_may_each(websocket):
    for _ in range(2):
        websocket.send(frame(0x01, b"") + frame(0x00, b"") * (MOST_PARTS - 1) + frame(0x80, b"end"))
        assert received(websocket, 5) == b"\x81\x03end"
    websocket.send(frame(0x01, b"") + frame(0x00, b"") * MOST_PARTS + frame(0x80, b"end"))
    assert received(websocket, 4)[2:] == (1009).to_bytes(2, "big")
