"""What we use of uvicorn's inner parts; these tests run with the oldest version that we support and the newest."""

import json
import logging
import ssl

import pytest
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as connect_websocket

from fg_tls.listener.identity import client_certificate
from fg_tls.pki.certificates import read_der
from fg_tls.pki.contexts import Material, client_context

from .listeners import LONGEST_WAIT, material
from .raw_client import Client


async def app(scope, receive, send):
    """Says the scheme and who calls, by the serial number of the certificate."""
    der = client_certificate(scope)
    caller = {"scheme": scope["scheme"], "serial": read_der(der).serial if der else None}
    if scope["type"] == "http":
        await JSONResponse(caller)(scope, receive, send)
    elif scope["path"] == "/refused":
        await send({"type": "websocket.close", "code": 1008})
    else:
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        await websocket.send_json(caller)
        await websocket.close()


@pytest.fixture
def member(tmp_path, authority):
    return material(tmp_path / "member.pem", authority)


def serial(of):
    from fg_tls.pki.certificates import read_pem

    return read_pem(of.certificate_file.read_bytes(), "member.pem")[0].serial


def test_http_knows_the_holder_of_a_certificate_request_after_request(serve_with, transport, member, source):
    with serve_with(app) as port:
        for who in (member, Material(authorities=source.now.authorities)):
            client = Client(port, client_context(who) if transport == "tls" else None)
            known = serial(who) if transport == "tls" and who is member else None
            expected = {"scheme": "https" if transport == "tls" else "http", "serial": known}
            assert [json.loads(client.get()[1]) for _ in range(3)] == [expected] * 3
            client.close()


def test_a_websocket_knows_the_holder_of_a_certificate(serve_with, transport, member):
    trust = client_context(member) if transport == "tls" else None
    scheme = "wss" if trust else "ws"
    with serve_with(app) as port:
        with connect_websocket(f"{scheme}://localhost:{port}/", ssl=trust, open_timeout=LONGEST_WAIT) as websocket:
            caller = json.loads(websocket.recv(timeout=LONGEST_WAIT))
        assert caller == {"scheme": scheme, "serial": serial(member) if trust else None}
        with (
            pytest.raises(InvalidStatus, match="403"),
            connect_websocket(f"{scheme}://localhost:{port}/refused", ssl=trust, open_timeout=LONGEST_WAIT),
        ):
            pass


def test_requests_may_come_in_one_piece_with_the_end_of_the_handshake(serve_with, connect):
    with serve_with(app) as port:
        client = connect(port)
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        assert [client.answer()[0] for _ in range(20)] == [200] * 20


@pytest.mark.parametrize("kind", ["h11-tls", "httptools-tls"], indirect=True)
def test_the_first_request_may_come_in_the_same_packet_as_the_end_of_the_handshake(serve_with, source):
    with serve_with(app) as port:
        client, incoming, outgoing = Client(port), ssl.MemoryBIO(), ssl.MemoryBIO()
        trust = client_context(Material(authorities=source.now.authorities))
        tls = trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if outgoing.pending:
                    client.send(outgoing.read())
                incoming.write(client.socket.recv(65536))
        tls.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        client.send(outgoing.read())  # Finished and the request at once
        incoming.write(client.rest())
        assert tls.read(65536).startswith(b"HTTP/1.1 200 OK")
        assert tls.read(65536) == b'{"scheme":"https","serial":null}'
        client.close()


def test_a_client_that_leaves_during_the_handshake_leaves_no_trace(serve_with, connect, transport, caplog):
    with caplog.at_level(logging.INFO), serve_with(app) as port:
        for sent in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x00" * 500):
            client = Client(port)
            client.send(sent)
            client.close()
        last = connect(port)
        assert last.get()[0] == 200
        last.close()
    unexpected = [each for each in caplog.records if each.levelno > logging.INFO]
    # Zeros are no request either, which uvicorn says where they reach it.
    assert {each.getMessage() for each in unexpected} <= {"Invalid HTTP request received."}
    assert transport == "plain" or unexpected == []


def test_a_field_of_uvicorn_itself_is_understood(member):
    pem = member.certificate_file.read_text().split("-----END PRIVATE KEY-----\n")[1]
    native = {"extensions": {"tls": {"client_cert_chain": [pem]}}}
    assert read_der(client_certificate(native)).serial == serial(member)
    assert client_certificate({"extensions": {"tls": {"client_cert_chain": []}}}) is None
    assert client_certificate({}) is None
