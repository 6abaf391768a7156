"""Clients that hold connections and send next to nothing (CVE-2007-6750), against a server that does not wait long."""

import socket
import time

import pytest

from fg_tls.pki.names import parse_names

from .conftest import SERVER_NAMES, provision
from .target import FULL_TOKEN, attacked, read_to_the_end, request
from .test_attacks_tls import HELLO
from .test_attacks_websockets import frame, opening, read_head

BEARER = b"Authorization: Bearer " + FULL_TOKEN.encode()
HEAD = b"POST /upload HTTP/1.1\r\nHost: localhost\r\n" + BEARER + b"\r\n"


@pytest.fixture(scope="module")
def protected(tmp_path_factory):
    """A server with TLS that gives its clients a second."""
    directory = tmp_path_factory.mktemp("impatient")
    store, authority = provision(directory / "tls", parse_names(SERVER_NAMES))
    with attacked(directory, "--impatient", host="0.0.0.0", store=store, authority=authority) as target:
        yield target


@pytest.fixture
def honest():
    """Members are not what is tried here."""
    return None


SILENT = {
    "nothing": b"",
    "half a request line": b"GET /it",
    "half a head": b"GET /items HTTP/1.1\r\nHost: localhost\r\n",
    "no body": HEAD + b"Content-Length: 100\r\n\r\n",
    "half a body": HEAD + b"Content-Length: 100\r\n\r\n" + b"x" * 50,
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n40\r\nhello",
    "nothing after an answer": request("GET /nowhere").replace(b"Connection: close\r\n", b""),
}


@pytest.mark.parametrize("data", SILENT.values(), ids=SILENT)
def test_who_falls_silent_is_hung_up_on(protected, data):
    answer = protected.send(data)
    assert b" 200 " not in answer
    if data.startswith(HEAD):
        protected.expects("POST '/upload'")


@pytest.mark.parametrize("length", [0, 1, 5, 100, len(HELLO) - 1])
def test_who_stops_in_the_handshake_is_hung_up_on(protected, length):
    with protected.raw() as connection:
        connection.sendall(HELLO[:length])
        assert b"HTTP" not in read_to_the_end(connection)


def test_who_takes_nothing_of_an_answer_is_hung_up_on(protected):
    """The answer is larger than all buffers; when the server has given up, what is left of it never comes."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.settimeout(20)
    narrow.connect(("127.0.0.1", protected.port))
    with protected.context().wrap_socket(narrow, server_hostname="localhost") as connection:
        connection.sendall(request("GET /stream", BEARER))
        while protected.process.net_connections("tcp")[1:]:
            time.sleep(0.05)  # the kernel does not tell when another process closes a socket
        assert len(read_to_the_end(connection)) < 64 * 2**20
    protected.expects("GET '/stream'")


def test_a_hundred_silent_clients_keep_nobody_out(protected):
    held = [protected.raw() for _ in range(100)]
    try:
        assert protected.statuses(request("GET /health")) == (200,)
        protected.expects("GET '/health'")
    finally:
        for each in held:
            each.close()


def test_who_breaks_a_websocket_and_does_not_close_it_is_hung_up_on(protected):
    with protected.connect() as connection:
        connection.sendall(opening(BEARER))
        assert read_head(connection).startswith(b"HTTP/1.1 101 ")
        connection.sendall(frame(1, b"hello", masked=False))
        assert read_to_the_end(connection)[:1] == b"\x88"
    protected.expects("WEBSOCKET '/events'")
