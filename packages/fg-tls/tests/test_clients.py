"""Clients against real servers: what they trust, whom they give a token, and what they say when it fails."""

import contextlib
import dataclasses
import os
import re
import socket
import subprocess
import sys
import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from fg_tls import PeerError, Store, TokenFileError
from fg_tls.clients.connections import connect, http_connection
from fg_tls.clients.origins import Origin
from fg_tls.endpoints import Endpoint, announced
from fg_tls.host.store import Identity
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Member
from fg_tls.pki.contexts import Material, server_context
from fg_tls.pki.keys import new_key
from fg_tls.pki.names import parse_names, private_constraints
from fg_tls.pki.revocation import Revoked

WAIT = 30
HERE = parse_names(["localhost", "127.0.0.1", "::1"])
TOKEN = "0123456789abcdef" * 4


def now():
    return datetime.now(UTC)


@pytest.fixture(scope="session")
def authority():
    return Authority.create("test", private_constraints(), now=now())


def identity_of(authority, *, names=HERE, at=None, member=None):
    key = new_key()
    member = member or Member(cluster=authority.cluster, role="member", id=str(uuid.uuid4()))
    certificate = authority.issue(key.public_key(), member=member, names=names, now=at or now())
    return Identity(key=key, chain=(certificate,))


@pytest.fixture
def host(tmp_path, authority):
    """Makes hosts of the cluster: a store with an identity of its own."""

    def make(name, **options):
        store = Store(tmp_path / name)
        options = {"authority": authority} | options
        store.save_identity(identity_of(**options))
        store.save_authorities((options["authority"].certificate,))
        return store

    return make


class Recorder:
    """A server of one connection after the other that keeps what it was sent, and answers `answer`."""

    def __init__(self, listener, context=None, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"):
        self.listener = listener
        self.context = context
        self.answer = answer
        self.requests = []
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self):
        return self.listener.getsockname()[1]

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with contextlib.suppress(OSError), connection:
            connection.settimeout(WAIT)
            if self.context is not None:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection:
                request = b""
                while piece := connection.recv(65536):
                    request += piece
                    if request.endswith(b"\r\n\r\n"):
                        self.requests.append(request.decode())
                        request = b""
                        connection.sendall(self.answer)
                        if b"200" not in self.answer:
                            return


@pytest.fixture
def record():
    """Starts recorders, on 127.0.0.1 unless told otherwise."""
    with contextlib.ExitStack() as stack:

        def start(source=None, *, at="127.0.0.1", family=socket.AF_INET, **options):
            listener = stack.enter_context(socket.create_server((at, 0), family=family))
            return Recorder(listener, server_context(source) if source else None, **options)

        yield start


def tokens_seen(recorder):
    return [re.search(r"(?im)^authorization: Bearer (.*?)\r?$", each) for each in recorder.requests]


def seen(recorder):
    return [match[1] if match else None for match in tokens_seen(recorder)]


# --- a served application ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_both_kinds_of_connection_reach_a_server_with_its_token(start, host, tls):
    store = host("a")
    server = start(tls=store if tls else "off")
    options = {"token_file": server.serving.token_file, "store": store}
    root = f"{'https' if tls else 'http'}://127.0.0.1:{server.serving.port}"
    with connect(root, **options) as client:
        assert client.get("/items").json()["path"] == "/items"
        assert client.post("items", content=b"x" * 1000).json()["size"] == 1000
    with connect(f"{root}/items", **options) as client:
        assert client.delete("/name").json()["path"] == "/items/name"
    with contextlib.closing(http_connection(root, **options)) as connection:
        for _ in range(2):
            connection.request("GET", "/items")
            answer = connection.getresponse()
            assert (answer.status, b"/items" in answer.read()) == (200, True)


def test_without_a_token_a_server_says_so(start):
    server = start(tls="off")
    with connect(f"http://127.0.0.1:{server.serving.port}") as client:
        assert client.get("/health").status_code == 200
    with connect(f"http://127.0.0.1:{server.serving.port}", token="wrong" * 10) as client:
        assert client.get("/items").status_code == 401


# --- where a token goes -----------------------------------------------------------------------------------------------


def test_a_token_goes_to_its_origin_only(record):
    own, other = record(), record()
    with connect(f"http://127.0.0.1:{own.port}", token=TOKEN) as client:
        assert client.get("/").text == "ok"
        assert client.get(f"http://127.0.0.1:{other.port}/").text == "ok"
        assert client.get(f"http://localhost:{own.port}/").text == "ok"
    assert seen(own) == [TOKEN, None]
    assert seen(other) == [None]


def test_a_redirect_is_not_followed_and_never_carries_the_token(record):
    target = record()
    location = f"Location: http://127.0.0.1:{target.port}/\r\n".encode()
    own = record(answer=b"HTTP/1.1 307 Moved\r\n" + location + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
    with connect(f"http://127.0.0.1:{own.port}", token=TOKEN) as client:
        assert client.get("/").status_code == 307
        assert target.requests == []
        assert client.get("/", follow_redirects=True).text == "ok"
    assert seen(own) == [TOKEN, TOKEN] and seen(target) == [None]


@pytest.mark.parametrize("url", ["http://10.0.0.1:1/", "http://box.lan/", "http://0.0.0.0:1", "http://2130706433/"])
@pytest.mark.parametrize("make", [connect, http_connection])
def test_clear_text_stays_on_this_machine(make, url):
    with pytest.raises(PeerError, match=r"refuses to send requests to http://.* in clear text: .* use https://"):
        make(url)
    with pytest.raises(PeerError, match="refuses to send a token to http://"):
        make(url, token=TOKEN, insecure=True)
    with contextlib.closing(make(url, insecure=True)):
        pass


def test_a_client_of_loopback_sends_nothing_elsewhere_in_clear_text(record):
    own = record()
    with connect(f"http://127.0.0.1:{own.port}") as client, pytest.raises(PeerError, match="clear text; use https"):
        client.get("http://10.0.0.1/")


def test_a_client_of_clear_text_trusts_no_certificate(record, host):
    server = record(host("a"))
    with (
        connect("http://127.0.0.1:1", store=host("b")) as client,
        pytest.raises(PeerError),
    ):
        client.get(f"https://127.0.0.1:{server.port}/secret")
    assert "secret" not in "".join(server.requests)


@pytest.mark.parametrize("url", ["", "nowhere", "ftp://a", "http://", "https://a b/", "http://a:99999", "https:///x"])
def test_what_is_no_url_is_said(url):
    with pytest.raises(PeerError, match="is not the URL of a server; write for example"):
        connect(url)


def test_a_password_in_a_url_is_refused_and_not_repeated():
    with pytest.raises(PeerError, match="carries a user or password") as caught:
        connect("https://user:hunter2@box.lan/")
    assert "hunter2" not in str(caught.value)


def test_a_token_that_no_header_can_carry_is_refused_and_not_repeated():
    for bad in ("", "two words", "line\nbreak", "ümlaut"):
        with pytest.raises(TokenFileError, match="no HTTP header may carry") as caught:
            connect("https://box.lan", token=bad)
        assert not bad or bad not in str(caught.value)


def test_no_proxy_and_no_netrc_sees_a_private_request(record, monkeypatch, tmp_path):
    own, proxy = record(), record()
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    with connect(f"http://127.0.0.1:{own.port}") as client:
        assert client.get("/").text == "ok"
    assert "authorization" not in own.requests[0].lower()
    with connect("http://box.example.org", insecure=True) as client:
        assert client.get("/").text == "ok"
    assert proxy.requests[0].startswith("GET http://box.example.org/")
    assert "authorization" not in proxy.requests[0].lower()


# --- servers of this machine ------------------------------------------------------------------------------------------


@pytest.fixture
def announce(tmp_path):
    """Writes records for servers in this process, whose token is TOKEN."""
    token_file = tmp_path / "token"
    token_file.touch(0o600)
    token_file.write_text(TOKEN + "\n")
    with contextlib.ExitStack() as stack:

        def write(port, **changes):
            fields = {"service": "test", "host": "127.0.0.1", "port": port, "tls": False, "token_file": token_file}
            return stack.enter_context(announced(Endpoint(**fields | changes)))

        yield write


def ask(url, **options):
    with connect(url, **options) as client:
        return client.get("/").text


def test_the_token_of_a_server_here_is_found(record, announce):
    server = record()
    announce(server.port)
    assert ask(f"http://127.0.0.1:{server.port}") == ask(f"http://localhost:{server.port}") == "ok"
    assert ask(f"http://127.0.0.1:{server.port}", service="test") == "ok"
    assert ask(f"http://127.0.0.1:{server.port}", service="another") == "ok"
    assert seen(server) == [TOKEN, TOKEN, TOKEN, None]


def test_a_server_on_every_address_is_found_by_loopback(record, announce):
    server = record(at="0.0.0.0")
    announce(server.port, host="0.0.0.0")
    ask(f"http://127.0.0.1:{server.port}")
    ask(f"http://127.0.0.2:{server.port}")
    assert seen(server) == [TOKEN, None]


def test_localhost_is_the_address_of_the_server_and_not_what_somebody_else_took(announce, record):
    """`localhost` is often ::1 first, where any user may listen when the server has 127.0.0.1 only."""
    server = record()
    announce(server.port)
    try:
        squatter = socket.create_server(("::1", server.port), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with squatter:
        recorder = Recorder(squatter)
        assert ask(f"http://localhost:{server.port}") == "ok"
        assert ask(f"http://[::1]:{server.port}") == "ok"
        assert (seen(server), seen(recorder)) == ([TOKEN], [None])


def test_whoever_takes_the_port_of_a_dead_server_gets_no_token(record, announce):
    squatter = record()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(WAIT)
    live = announce(squatter.port)
    live.path.unlink()
    announce(squatter.port, process=dataclasses.replace(live.process, pid=ended.pid))
    assert ask(f"http://127.0.0.1:{squatter.port}") == "ok"
    assert seen(squatter) == [None]


def test_whoever_takes_the_port_of_a_server_that_has_stopped_listening_gets_no_token(announce):
    """The process lives on, but the port is that of another one."""
    script = (
        "import socket, sys\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "print(listener.getsockname()[1], flush=True)\n"
        "connection, _ = listener.accept()\n"
        "request = connection.recv(65536)\n"
        "connection.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok')\n"
        "print(b'uthorization' in request, flush=True)\n"
    )
    squatter = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        port = int(squatter.stdout.readline())
        announce(port)
        assert ask(f"http://127.0.0.1:{port}") == "ok"
        assert squatter.communicate(timeout=WAIT)[0] == "False\n"
    finally:
        squatter.kill()


def test_a_record_of_tls_is_none_of_clear_text(record, announce):
    server = record()
    announce(server.port, tls=True)
    assert ask(f"http://127.0.0.1:{server.port}") == "ok"
    assert seen(server) == [None]


def test_a_token_file_that_others_can_read_is_not_used(record, announce):
    server = record()
    announce(server.port).token_file.chmod(0o644)
    assert ask(f"http://127.0.0.1:{server.port}") == "ok"
    assert seen(server) == [None]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_the_token_file_of_somebody_else_is_not_used(record, announce):
    server = record()
    os.chown(announce(server.port).token_file, 12345, -1)
    assert ask(f"http://127.0.0.1:{server.port}") == "ok"
    assert seen(server) == [None]


def test_over_tls_the_server_must_show_the_certificate_of_this_host(record, announce, host):
    """Every member of the cluster may show one for 127.0.0.1: only ours gets the token that was found."""
    ours, theirs = host("ours"), host("theirs")
    server, squatter = record(ours), record(theirs)
    announce(server.port, tls=True)
    announce(squatter.port, tls=True)
    assert ask(f"https://127.0.0.1:{server.port}", store=ours) == "ok"
    with pytest.raises(PeerError, match="does not show the certificate of this host"):
        ask(f"https://127.0.0.1:{squatter.port}", store=ours)
    assert (seen(server), squatter.requests) == ([TOKEN], [])
    assert ask(f"https://127.0.0.1:{squatter.port}", store=ours, token="given" * 10) == "ok"


def test_a_server_that_has_renewed_is_still_this_host(record, announce, host, authority):
    store = host("a")
    server = record(store)
    announce(server.port, tls=True)
    with connect(f"https://127.0.0.1:{server.port}", store=store) as client:
        store.save_identity(identity_of(authority, member=store.identity().certificate.member))
        assert client.get("/").text == "ok"
    assert seen(server) == [TOKEN]


def test_the_url_that_a_server_names_is_enough(record, announce, host):
    store = host("a")
    server = record(store)
    announce(server.port, tls=True, host="0.0.0.0", urls=(f"https://localhost:{server.port}",))
    assert ask(f"https://localhost:{server.port}", store=store) == "ok"
    assert seen(server) == [TOKEN]


# --- trust ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [connect, http_connection])
def test_a_server_nobody_here_vouches_for_gets_no_request(record, host, make):
    other = Authority.create("test", private_constraints(), now=now())
    server = record(host("theirs", authority=other))
    with (
        pytest.raises(PeerError, match=r"authority"),
        contextlib.closing(make(f"https://127.0.0.1:{server.port}", store=host("ours"), token=TOKEN)) as client,
    ):
        client.request("GET", "/")
    assert TOKEN not in "".join(server.requests)  # the doctor has asked too, without it


def failing(server, store, **options):
    with pytest.raises(PeerError) as caught:
        ask(f"https://127.0.0.1:{server.port}", store=store, token=TOKEN, **options)
    assert TOKEN not in "".join(server.requests)
    message = str(caught.value)
    assert "\n" not in message and TOKEN not in message
    return message


def test_an_expired_certificate(record, host):
    old = host("old", at=now() - timedelta(days=40))
    assert "ran out" in failing(record(old), host("ours"))


def test_a_certificate_for_another_name(record, host):
    elsewhere = host("elsewhere", names=parse_names(["box.lan"]))
    assert "box.lan" in failing(record(elsewhere), host("ours"))


class Given:
    """A source that says what it is told to."""

    def __init__(self, store, **changes):
        self.store, self.changes = store, changes

    def stamp(self):
        return repr(self.changes)

    def client_material(self):
        return dataclasses.replace(self.store.client_material(), **self.changes)


def test_a_revoked_server_is_refused_on_new_and_open_connections(record, host):
    ours, theirs = host("ours"), host("theirs")
    server = record(theirs)
    serial = theirs.identity().certificate.serial
    source = Given(ours)
    url = f"https://127.0.0.1:{server.port}"
    with (
        connect(url, store=source, token=TOKEN) as client,
        contextlib.closing(http_connection(url, store=source)) as raw,
    ):
        assert client.get("/").text == "ok"
        raw.request("GET", "/")
        raw.getresponse().read()
        source.changes["revoked"] = Revoked(number=1, serials=frozenset({serial}))
        with pytest.raises(PeerError, match="is revoked"):
            client.get("/")
        with pytest.raises(PeerError, match="is revoked"):
            raw.request("GET", "/")
    before = len(server.requests)
    with connect(url, store=source, token=TOKEN) as client, pytest.raises(PeerError, match="is revoked"):
        client.get("/")
    assert len(server.requests) == before


def test_with_another_clock_dates_are_checked_by_it(record, host):
    ours = host("ours")
    server = record(host("theirs"))
    url = f"https://127.0.0.1:{server.port}"
    assert ask(url, store=ours, clock=now) == "ok"
    for days, message in ((31, "ran out"), (-1, "valid from")):
        with pytest.raises(PeerError, match=message):
            ask(url, store=ours, clock=lambda days=days: now() + timedelta(days=days))


def test_a_client_follows_a_new_authority_and_its_own_new_certificate(record, host, authority):
    ours, theirs = host("ours"), host("theirs")
    successor = Authority.create("test 2", private_constraints(), now=now(), cluster=authority.cluster)
    server = record(theirs, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    with connect(f"https://127.0.0.1:{server.port}", store=ours, token=TOKEN) as client:
        assert client.get("/").text == "ok"
        for store in (ours, theirs):
            store.save_authorities((authority.certificate, successor.certificate))
        assert client.get("/").text == "ok"
        for store in (ours, theirs):
            store.save_identity(identity_of(successor))
        assert client.get("/").text == "ok"
        for store in (ours, theirs):
            store.save_authorities((successor.certificate,))
        assert client.get("/").text == "ok"
    assert seen(server) == [TOKEN] * 4


def test_the_client_shows_the_certificate_of_this_host_to_ours_only(record, host, authority):
    ours = host("ours")
    shown = []

    class Noting(Recorder):
        def _answer(self, connection):
            with connection, self.context.wrap_socket(connection, server_side=True) as tls:
                shown.append(tls.getpeercert(binary_form=True))
                tls.recv(65536)
                tls.sendall(self.answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Noting(listener, server_context(host("theirs")))
        assert ask(f"https://127.0.0.1:{server.port}", store=ours) == "ok"
    assert shown == [ours.identity().certificate.der]


def test_our_authority_is_asked_where_it_may_vouch_and_the_system_elsewhere(authority):
    from fg_tls.clients.following import trusts

    ours = Material(authorities=(authority.certificate,))
    private = ["localhost", "127.0.0.1", "10.1.2.3", "box.lan", "a.b.local", "fd00::1"]
    public = ["example.org", "8.8.8.8", "box", "2001:db8::1"]
    assert [trusts(ours, each) for each in private] == [True] * len(private)
    assert [trusts(ours, each) for each in public] == [False] * len(public)
    assert not trusts(Material(), "localhost")


# --- what goes wrong --------------------------------------------------------------------------------------------------


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


def test_plain_http_where_tls_was_expected(start, host):
    server = start(tls="off")
    with pytest.raises(PeerError, match="speaks plain HTTP"):
        ask(f"https://127.0.0.1:{server.serving.port}", store=host("a"))


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
