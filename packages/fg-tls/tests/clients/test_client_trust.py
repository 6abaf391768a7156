"""Which servers clients believe, what they show them, and how both change while they run."""

import contextlib
import dataclasses
import socket
from datetime import timedelta

import pytest

from fg_tls import PeerError, Store
from fg_tls.clients.connections import connect, http_connection
from fg_tls.pki.authority import Authority
from fg_tls.pki.contexts import Material, server_context
from fg_tls.pki.names import parse_names, private_constraints
from fg_tls.pki.revocation import Revoked

from .recorder import TOKEN, WAIT, Recorder, ask, identity_of, now, seen


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


class Given(Store):
    """A host that says what it is told to."""

    def __init__(self, store, **changes):
        super().__init__(store.directory)
        self.changes = changes

    def stamp(self):
        return repr(self.changes)

    def client_material(self):
        return dataclasses.replace(super().client_material(), **self.changes)


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


@pytest.mark.parametrize("make", [connect, http_connection])
def test_connections_that_show_a_certificate_which_was_replaced_are_left(record, host, authority, make):
    ours, theirs = host("ours"), host("theirs")
    server = record(theirs)
    with make(f"https://127.0.0.1:{server.port}", store=ours, service="another") as client:
        for connections in (1, 2, 3):
            for _ in range(2):
                answer = client.request("GET", "/") or client.getresponse()
                assert answer.read() == b"ok"
            assert server.connections == connections
            assert connections == 1 or server.ended.acquire(timeout=WAIT)
            ours.save_identity(identity_of(authority))


def test_what_is_being_read_comes_to_its_end_however_often_certificates_are_replaced(start, host, authority):
    store = host("a")
    server = start(tls=store)
    with (
        connect(f"https://127.0.0.1:{server.serving.port}", store=store, token=server.token) as client,
        client.stream("GET", "/forever") as ticking,
    ):
        lines = ticking.iter_lines()
        assert next(lines) == "first"
        for _ in range(3):
            store.save_identity(identity_of(authority))
            assert client.get("/items").status_code == 200
            assert next(lines) == "tick"


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
