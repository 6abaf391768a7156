"""What is no handshake, or one that a TLS 1.3 server must not finish (RFC 8446)."""

import os
import socket
import ssl
from contextlib import suppress

import pytest

from .target import FULL_TOKEN, read_to_the_end, request

BEARER = b"Authorization: Bearer " + FULL_TOKEN.encode()
VERSIONS = {
    "TLS 1.0": ssl.TLSVersion.TLSv1,
    "TLS 1.1": ssl.TLSVersion.TLSv1_1,
    "TLS 1.2": ssl.TLSVersion.TLSv1_2,
}


def client_hello(server_name: str = "localhost") -> bytes:
    """What a client of TLS 1.3 says first."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


HELLO = client_hello()


def answer_to(target, data: bytes) -> bytes:
    """What comes back for raw bytes after which the client says no more."""
    with target.raw() as connection, suppress(OSError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return read_to_the_end(connection)
    return b""


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_an_old_protocol_is_not_spoken(protected, version):
    context = protected.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with protected.raw() as plain, pytest.raises(OSError):
        context.wrap_socket(plain, server_hostname="localhost")


WEAK = ["NULL-SHA256", "RC4-SHA", "DES-CBC3-SHA", "AES128-SHA", "ADH-AES128-SHA256", "AES128-GCM-SHA256"]


@pytest.mark.parametrize("cipher", WEAK)
def test_a_weak_cipher_is_not_taken(protected, cipher):
    context = protected.context()
    try:
        context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    except ssl.SSLError:
        pytest.skip(f"this OpenSSL has no {cipher} to attack with")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_2
    with protected.raw() as plain, pytest.raises(OSError):
        context.wrap_socket(plain, server_hostname="localhost")


@pytest.mark.parametrize("length", range(0, len(HELLO), 16))
def test_a_truncated_greeting_leads_nowhere(protected, length):
    assert b"HTTP" not in answer_to(protected, HELLO[:length])


@pytest.mark.parametrize("position", range(0, len(HELLO), 32))
def test_a_damaged_greeting_leads_nowhere(protected, position):
    damaged = HELLO[:position] + bytes([HELLO[position] ^ 0xFF]) + HELLO[position + 1 :]
    assert b"HTTP" not in answer_to(protected, damaged)


NO_HANDSHAKES = {
    "plain HTTP": request("GET /health"),
    "plain HTTP with a token": request("GET /items", BEARER),
    "ssh": b"SSH-2.0-OpenSSH_9.9\r\n",
    "zeros": bytes(65536),
    "ones": b"\xff" * 65536,
    "SSL 2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37),
    "record beyond the limit": b"\x16\x03\x01\xff\xff" + bytes(65535),
    "empty records": b"\x16\x03\x01\x00\x00" * 1000,
    "alerts": b"\x15\x03\x01\x00\x02\x01\x5a" * 1000,
    "data first": b"\x17\x03\x03\x00\x10" + bytes(16),
    "change of cipher first": b"\x14\x03\x03\x00\x01\x01" * 100,
    "heartbeat": b"\x18\x03\x03\x00\x03\x01\x40\x00",
    "finished first": b"\x16\x03\x03\x00\x24\x14\x00\x00\x20" + bytes(32),
    "greeting twice": HELLO + HELLO,
    "greeting with data": HELLO + b"\x17\x03\x03\x00\x20" + bytes(32),
    "handshake message of 16 MiB": b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16380),
    "header of a proxy": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + HELLO[:100],
}


@pytest.mark.parametrize("data", NO_HANDSHAKES.values(), ids=NO_HANDSHAKES)
def test_what_is_no_handshake_is_not_answered_in_clear_text(protected, data):
    answer = answer_to(protected, data)
    assert b"HTTP" not in answer
    assert FULL_TOKEN.encode() not in answer


def test_random_bytes_lead_nowhere(protected):
    for size in (1, 5, 6, 100, 1000, 20_000):
        assert b"HTTP" not in answer_to(protected, os.urandom(size))


@pytest.mark.parametrize(
    "server_name", [None, "evil.example", "LOCALHOST.evil.example", "x" * 63 + ".local", "bank.lan"]
)
def test_another_server_name_does_not_help_a_request_to_another_host(protected, server_name):
    host = b"Host: " + (server_name or "evil.example").encode()
    assert protected.statuses(request("GET /items", BEARER, host=host), server_name=server_name) == (421,)


NAMES = {
    "empty": b"",
    "NUL": b"local\x00ost",
    "line feed": b"local\nost",
    "dots": b".........",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_malformed_server_name_leads_nowhere(protected, name):
    greeting = client_hello("localhost")
    assert greeting.count(b"localhost") == 1
    assert b"HTTP" not in answer_to(protected, greeting.replace(b"localhost", name.ljust(9, b"\x00")))


def test_http_2_is_not_agreed_on(protected):
    context = protected.context()
    context.set_alpn_protocols(["h2"])
    with protected.raw() as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as connection:
                assert connection.selected_alpn_protocol() is None
                connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
                assert b" 200 " not in read_to_the_end(connection)
        except ssl.SSLError as error:
            assert "NO_APPLICATION_PROTOCOL" in str(error)


def test_no_session_is_resumed_so_that_each_certificate_is_verified_again(protected, honest):
    context = protected.context(honest)
    with context.wrap_socket(protected.raw(), server_hostname="localhost") as first:
        first.sendall(request("GET /peers", host=b"Host: evil.example"))
        read_to_the_end(first)
        session = first.session
    assert session is None or not session.has_ticket
    with context.wrap_socket(protected.raw(), server_hostname="localhost", session=session) as second:
        assert not second.session_reused


def test_hundreds_of_broken_handshakes_leave_nothing_behind(protected):
    for number in range(300):
        with protected.raw() as connection:
            connection.sendall(HELLO[: number % len(HELLO)])
