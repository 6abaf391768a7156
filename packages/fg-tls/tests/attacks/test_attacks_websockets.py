"""WebSockets without credentials, from other sites, or with broken frames (RFC 6455)."""

import os
import socket
import zlib

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from .target import FULL_TOKEN, READ_TOKEN, read_to_the_end, request

BEARER = b"Authorization: Bearer " + READ_TOKEN.encode()
UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade"
KEY = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


def opening(*headers: bytes, path: str = "/events", host: bytes = b"Host: localhost", key: bytes = KEY) -> bytes:
    return b"\r\n".join([f"GET {path} HTTP/1.1".encode(), host, UPGRADE, key, *headers, b"", b""])


REFUSED = {
    "no credentials": (opening(), {401, 403}),
    "token in the query": (opening(path=f"/events?token={FULL_TOKEN}"), {401, 403}),
    "token as a subprotocol": (opening(b"Sec-WebSocket-Protocol: bearer, " + FULL_TOKEN.encode()), {401, 403}),
    "token as a cookie": (opening(b"Cookie: token=" + FULL_TOKEN.encode()), {401, 403}),
    "wrong token": (opening(b"Authorization: Bearer " + b"0" * 64), {401, 403}),
    "two headers": (opening(BEARER, BEARER), {401, 403}),
    "page of another site": (opening(BEARER, b"Origin: https://evil.example"), {403}),
    "page without an origin": (opening(BEARER, b"Origin: null"), {403}),
    "page of another port": (opening(BEARER, b"Origin: https://localhost:1"), {403}),
    "page of another site by its relation": (opening(BEARER, b"Sec-Fetch-Site: cross-site"), {403}),
    "rebinding": (opening(BEARER, host=b"Host: evil.example"), {403, 421}),
    "no host": (opening(BEARER, host=b"X: 1"), {400, 403, 421}),
    "two hosts": (opening(BEARER, host=b"Host: localhost\r\nHost: evil.example"), {400, 403, 421}),
    "path of a plain route": (opening(BEARER, path="/items"), {404, 405}),
    "public path": (opening(path="/health"), {400, 401, 403}),
    "path that is not declared": (opening(BEARER, path="/other"), {403, 404}),
    "path behind dots": (opening(BEARER, path="/x/../events"), {403, 404}),
    "old version": (opening(BEARER, key=KEY.replace(b"13", b"8")), {400, 426}),
    "no key": (opening(BEARER, key=b"Sec-WebSocket-Version: 13"), {400}),
    "short key": (opening(BEARER, key=KEY.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"eA==")), {400}),
    "two keys": (opening(BEARER, KEY), {400}),
    "more headers than can be read": (opening(BEARER, *[b"X-%d: x" % number for number in range(300)]), {400, 431}),
    "a longer line than can be read": (opening(BEARER, b"X: " + b"x" * 20_000), {400, 431}),
    "as POST": (opening(BEARER).replace(b"GET", b"POST", 1), {400, 401, 403, 404, 405}),
}


@pytest.mark.parametrize(("data", "statuses"), REFUSED.values(), ids=REFUSED)
def test_an_opening_that_should_not_be_is_refused(target, data, statuses):
    (status,) = target.statuses(data)
    assert status in statuses


def test_a_plain_request_to_a_websocket_reaches_nothing(target):
    (status,) = target.statuses(request("GET /events", BEARER))
    assert status in (404, 405)


def frame(opcode: int, payload: bytes, *, first: int = 0x80, masked: bool = True) -> bytes:
    """One frame; `first` holds FIN and the reserved bits."""
    size = len(payload)
    width = 0 if size < 126 else 2 if size < 2**16 else 8
    length = bytes([{0: size, 2: 126, 8: 127}[width]]) + (size.to_bytes(width, "big") if width else b"")
    mask = os.urandom(4)
    body = mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload)) if masked else payload
    return bytes([first | opcode, length[0] | (0x80 if masked else 0)]) + length[1:] + body


FRAMES = {
    "unmasked": frame(1, b"hello", masked=False),
    "reserved bit": frame(1, b"hello", first=0xF0),
    "reserved opcode": frame(3, b"hello"),
    "reserved control opcode": frame(11, b"hello"),
    "long ping": frame(9, b"x" * 200),
    "ping in parts": frame(9, b"x", first=0),
    "continuation of nothing": frame(0, b"hello"),
    "close with one byte": frame(8, b"x"),
    "close with a code nobody may send": frame(8, (1005).to_bytes(2, "big")),
    "text that is no UTF-8": frame(1, b"\xff\xfe"),
    "length of 16 EiB": b"\x81\xff" + b"\x7f" + b"\xff" * 7 + bytes(4),
    "length beyond 63 bits": b"\x81\xff" + b"\xff" * 8 + bytes(4),
    "length of 1 GiB": b"\x82\xff" + (2**30).to_bytes(8, "big") + bytes(4) + bytes(1000),
}


@pytest.mark.parametrize("data", FRAMES.values(), ids=FRAMES)
def test_a_broken_frame_ends_its_own_connection_and_no_other(target, data):
    with target.connect() as connection:
        connection.sendall(opening(BEARER))
        head = read_head(connection)
        connection.sendall(data)
        said = connection.recv(65536)
    assert head.startswith(b"HTTP/1.1 101 ")
    assert said[:1] in (b"\x88", b"")  # a close, or an end without one
    target.expects("WEBSOCKET '/events'")


@pytest.mark.parametrize("size", [17 * 2**20, 2**28], ids=["17 MiB", "256 MiB"])
def test_a_message_that_unpacks_beyond_all_bounds_ends_its_own_connection(target, size):
    packer = zlib.compressobj(wbits=-12)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(size // 2**20)) + packer.flush(zlib.Z_SYNC_FLUSH)
    with target.connect() as connection:
        connection.sendall(opening(BEARER, b"Sec-WebSocket-Extensions: permessage-deflate"))
        assert b"permessage-deflate" in read_head(connection)
        connection.sendall(frame(1, packed[:-4], first=0xC0))
        answer = read_to_the_end(connection)
    assert answer[:1] == b"\x88"
    assert int.from_bytes(answer[2:4], "big") == 1009  # too big
    target.expects("WEBSOCKET '/events'")


def test_a_message_in_endless_parts_ends_its_own_connection(target):
    with target.connect() as connection:
        connection.sendall(opening(BEARER))
        assert read_head(connection).startswith(b"HTTP/1.1 101 ")
        connection.sendall(frame(1, b"", first=0))
        parts = frame(0, b"", first=0) * 1000
        with pytest.raises(OSError):
            for _ in range(10_000):
                connection.sendall(parts)
    target.expects("WEBSOCKET '/events'")


def test_pings_of_a_client_that_takes_no_answer_are_not_read(target):
    """What is sent in vain would have to be kept: 256 MiB of answers are more than the server may grow."""
    with target.connect() as connection:
        connection.sendall(opening(BEARER))
        assert read_head(connection).startswith(b"HTTP/1.1 101 ")
        connection.settimeout(2)
        pings = frame(9, b"x" * 125) * 1000
        with pytest.raises(OSError):  # time is out, or it has hung up
            for _ in range(2000):
                connection.sendall(pings)
    target.expects("WEBSOCKET '/events'")


def read_head(connection: socket.socket) -> bytes:
    """The head of an answer, byte by byte, so that nothing behind it is lost."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and (byte := connection.recv(1)):
        head += byte
    return head


def test_the_refusal_is_an_http_answer(target):
    address = f"{target.scheme.replace('http', 'ws')}://localhost:{target.port}/events"
    with pytest.raises(InvalidStatus) as caught:
        connect(address, sock=target.raw(), ssl=target.context() if target.store else None, proxy=None)
    assert caught.value.response.status_code in (401, 403)
