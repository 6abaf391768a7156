"""`serve` hands its limits on: a few of them once more, through the front door."""

import socket
import ssl
import threading

import pytest

from fg_tls.listener.limits import Limits
from fg_tls.pki.contexts import Material, client_context

from .listeners import LONGEST_WAIT
from .raw_client import Client

SHORT = Limits(handshake=0.4, headers=0.4, body_idle=0.4, keep_alive=0.4, close=0.4, connections_per_address=8)


@pytest.fixture
def trust(source):
    return client_context(Material(authorities=source.now.authorities))


@pytest.fixture
def port(start, source):
    return start(tls=source, limits=SHORT).serving.port


def ask(port, trust):
    client = Client(port, trust)
    try:
        return client.get("/health")
    finally:
        client.close()


def test_slow_clients_end_and_others_are_served_meanwhile(port, trust):
    slow = [Client(port, trust) for _ in range(2)]
    slow[0].send(b"GET /health HTTP/1.1\r\n")
    slow[1].send(b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
    half = Client(port)
    half.send(b"\x16\x03\x01\x02\x00\x01\x00")
    assert ask(port, trust) == (200, b'{"status":"ok"}')
    assert slow[0].rest().startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert slow[1].answer()[0] == 200  # it needs no body
    assert half.rest() == b""
    for client in [*slow, half]:
        client.close()


def test_a_crowd_of_one_address_does_not_keep_out_another_one(port, trust):
    crowd = [Client(port) for _ in range(20)]
    other = Client(port, trust, source="127.0.0.2")
    assert other.get("/health") == (200, b'{"status":"ok"}')
    turned_away = [client for client in crowd if client.rest() == b""]
    assert len(turned_away) == len(crowd)
    for client in [*crowd, other]:
        client.close()
    assert ask(port, trust) == (200, b'{"status":"ok"}')


def test_large_heads_are_refused(port, trust):
    client = Client(port, trust)
    assert client.get("/health", headers=[b"X: " + b"x" * 40_000])[0] == 431
    client.close()


def test_a_server_in_use_stops_within_its_grace(run, source, trust):
    with run(tls=source) as server:
        idle = Client(server.serving.port, trust)
        assert idle.get("/health")[0] == 200
        half = Client(server.serving.port)
        half.send(b"\x16")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.serving.port), timeout=LONGEST_WAIT)
    idle.close()
    half.close()


def test_hundreds_of_handshakes_that_fail_leave_a_server_that_serves(port, source):
    trust = client_context(Material(authorities=source.now.authorities))
    distrust = ssl.create_default_context()
    refused = []

    def attack():
        for _ in range(50):
            try:
                Client(port, distrust)
            except OSError as error:
                refused.append(type(error))

    threads = [threading.Thread(target=attack) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONGEST_WAIT)
    assert len(refused) == 200
    assert ssl.SSLCertVerificationError in refused
    assert ask(port, trust) == (200, b'{"status":"ok"}')
