"""What clients say when a server cannot be reached, or does not answer as it should."""

import contextlib
import http.client
import socket
import threading
from datetime import timedelta

import pytest

from fg_tls import PeerError, TlsError
from fg_tls.clients.connections import connect, http_connection
from fg_tls.clients.origins import Origin

from .recorder import TOKEN, WAIT, ask, identity_of, now


def unused_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("make", [connect, http_connection])
def test_nothing_listens(scheme, make, host):
    url = f"{scheme}://127.0.0.1:{unused_port()}"
    with (
        pytest.raises(PeerError, match=f"^nothing listens at {url}; start the server"),
        contextlib.closing(make(url, store=host("a"))) as client,
    ):
        client.request("GET", "/")


def test_a_name_without_an_address(host):
    with pytest.raises(PeerError, match=r"^no address is known for 'no-such-host\.invalid'; check the spelling"):
        ask("https://no-such-host.invalid", store=host("a"))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("make", [connect, http_connection])
def test_a_server_that_never_answers(scheme, make, host):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        with (
            pytest.raises(PeerError, match="does not answer in time"),
            contextlib.closing(make(url, store=host("a"), timeout=0.2)) as client,
        ):
            client.request("GET", "/")
            client.getresponse()


@pytest.mark.parametrize("make", [connect, http_connection])
def test_a_server_that_hangs_up(make, record):
    server = record(answer=b"")
    with (
        pytest.raises(PeerError, match="ended the connection without an answer"),
        contextlib.closing(make(f"http://127.0.0.1:{server.port}")) as client,
    ):
        client.request("GET", "/")
        client.getresponse()


TRUNCATED = b"HTTP/1.1 202 OK\r\nContent-Length: 10\r\n\r\nhello"
UNFINISHED = b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


@pytest.mark.parametrize("answer", [TRUNCATED, UNFINISHED], ids=["too short", "without its last chunk"])
@pytest.mark.parametrize("scheme", ["http", "https"])
class TestAnAnswerThatBreaksOff:
    @pytest.fixture
    def source(self, host, scheme):
        return host("a") if scheme == "https" else None

    @pytest.fixture
    def url(self, record, source, scheme, answer):
        return f"{scheme}://127.0.0.1:{record(source, answer=answer).port}"

    @pytest.fixture
    def told(self, url):
        return pytest.raises(PeerError, match=f"^{url} broke off in the middle of an answer")

    def test_is_no_answer(self, url, told, source):
        with told:
            ask(url, store=source)

    def test_is_read_up_to_there(self, url, told, source):
        with connect(url, store=source) as client, client.stream("GET", "/") as answer:
            pieces = answer.iter_raw()
            assert next(pieces) == b"hello"
            with told:
                next(pieces)

    @pytest.mark.parametrize(
        "read", [lambda it: it.read(), lambda it: it.read(5), lambda it: it.readinto(bytearray(5))]
    )
    def test_is_not_taken_for_whole_by_the_other_kind_of_connection(self, url, told, source, read):
        with http_connection(url, store=source) as connection:
            connection.request("GET", "/")
            answer = connection.getresponse()
            with told:
                for _ in range(2):
                    read(answer)


@pytest.mark.parametrize("make", [connect, http_connection])
def test_an_answer_that_is_not_http(make, record):
    server = record(answer=b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    with (
        pytest.raises(PeerError, match="ended the connection without an answer; check that it is the server you mean"),
        make(f"http://127.0.0.1:{server.port}") as client,
    ):
        client.request("GET", "/")
        client.getresponse()


def test_a_server_that_hangs_up_while_it_is_sent_much(record):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        with (
            pytest.raises(PeerError, match="ended the connection without an answer"),
            http_connection(f"http://127.0.0.1:{listener.getsockname()[1]}") as connection,
        ):
            connection.request("POST", "/", bytes(64 * 2**20))
            connection.getresponse()
        thread.join(WAIT)


def test_an_answer_that_was_not_read_is_a_mistake_of_the_caller_and_can_be_read_still(record, host, authority):
    store = host("a")
    with http_connection(f"https://127.0.0.1:{record(store).port}", store=store) as connection:
        connection.request("GET", "/")
        answer = connection.getresponse()
        store.save_identity(identity_of(authority))
        connection.request("GET", "/")
        with pytest.raises(http.client.ResponseNotReady):
            connection.getresponse()
        assert answer.read() == b"ok"


def test_nothing_is_sent_in_clear_text_after_a_failed_handshake(record, host):
    """The certificate that the client shows turns bad after it was made."""
    store = host("a")
    server = record()
    with http_connection(f"https://127.0.0.1:{server.port}", store=store, token=TOKEN) as connection:
        store.identity_path.write_bytes(b"no certificate")
        store.identity_path.chmod(0o600)
        for _ in range(2):
            with pytest.raises(TlsError):
                connection.request("GET", "/")
    assert TOKEN not in "".join(server.requests)


def test_plain_http_where_tls_was_expected(start, host):
    server = start(tls="off")
    with pytest.raises(PeerError, match="speaks plain HTTP"):
        ask(f"https://127.0.0.1:{server.serving.port}", store=host("a"))


@pytest.mark.parametrize("make", [connect, http_connection])
def test_clear_text_where_the_server_speaks_tls(start, host, make):
    port = start(tls=host("server")).serving.port
    with (
        pytest.raises(PeerError, match=f"^http://127.0.0.1:{port} speaks TLS; use https://127.0.0.1:{port}$"),
        contextlib.closing(make(f"http://127.0.0.1:{port}", store=host("a"))) as client,
    ):
        client.request("GET", "/")
        client.getresponse()


def test_a_server_that_refuses_our_certificate(start, host):
    """The client sees a closed connection only; the cause is found here."""
    server = start(tls=host("server"))
    expired = host("ours", at=now() - timedelta(days=40))
    with pytest.raises(PeerError, match=r"(?i)certificate of this host|our certificate"):
        ask(f"https://127.0.0.1:{server.serving.port}/health", store=expired)


def test_an_origin_as_text():
    for url in ("https://box.lan:8137", "http://[::1]:80", "http://127.0.0.1:1"):
        assert str(Origin.of(url)) == url
        assert Origin.of(url + "/path?query") == Origin.of(url)
    assert Origin.of("HTTPS://BOX.lan") == Origin.of("https://box.lan:443")
