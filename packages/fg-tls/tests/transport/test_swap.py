"""A listener whose certificate, authorities and revocations change under load: nobody is refused, nobody reconnects."""

import logging
import shutil
import ssl
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from fg_tls.listener.peers import Peers
from fg_tls.pki.certificates import read_der, read_pem
from fg_tls.pki.contexts import LiveContext, Material, client_context, server_context
from fg_tls.pki.revocation import Revoked

from .listeners import Held, handshake, identity_file, listening, material, new_authority
from .raw_client import Client


async def app(scope, receive, send):
    await PlainTextResponse("ok")(scope, receive, send)


@pytest.fixture
def port(source):
    with listening(app, http=H11Protocol, ws=WebSocketsSansIOProtocol, context=server_context(source)) as port:
        yield port


def serial_shown(port, trust):
    """The serial number of the certificate that a new connection sees."""
    client = Client(port, trust)
    assert client.get() == (200, b"ok")
    serial = read_der(client.socket.getpeercert(binary_form=True)).serial
    client.close()
    return serial


def serial_in(path):
    return read_pem(path.read_bytes(), str(path))[0].serial


def test_three_hundred_renewals_under_load_lose_no_request(port, source, tmp_path, authority):
    trust = client_context(Material(authorities=source.now.authorities))
    done, failures, requests = threading.Event(), [], []

    def load(fresh):
        client = Client(port, trust)
        while not done.is_set():
            try:
                if fresh:
                    client.close()
                    client = Client(port, trust)
                requests.append(client.get())
            except (OSError, AssertionError) as error:
                failures.append(error)
        client.close()

    threads = [threading.Thread(target=load, args=(fresh,)) for fresh in (True, False)]
    for thread in threads:
        thread.start()
    for number in range(300):
        path = identity_file(tmp_path / f"{number}.pem", authority)
        source.change(certificate_file=path)
        if number % 50 == 0:
            assert serial_shown(port, trust) == serial_in(path)
    done.set()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert set(requests) == {(200, b"ok")}
    assert serial_shown(port, trust) == serial_in(tmp_path / "299.pem")


def test_one_authority_follows_another_without_a_gap(port, source, tmp_path, authority):
    new = new_authority("new", cluster=authority.cluster)
    old_client = material(tmp_path / "old-client.pem", authority)
    new_client = material(tmp_path / "new-client.pem", new, authority)
    both = (authority.certificate, new.certificate)

    def served(client):
        context = client_context(replace(client, authorities=both))
        with_client = Client(port, context)
        try:
            return with_client.get() == (200, b"ok")
        except (OSError, AssertionError):
            return False
        finally:
            with_client.close()

    before = Client(port, client_context(replace(old_client, authorities=both)))
    assert (before.get()[0], served(old_client), served(new_client)) == (200, True, False)
    source.change(authorities=both)
    assert (served(old_client), served(new_client)) == (True, True)
    source.change(certificate_file=identity_file(tmp_path / "reissued.pem", new), authorities=(new.certificate,))
    assert (served(old_client), served(new_client)) == (False, True)
    assert before.get() == (200, b"ok")  # open since the first phase
    before.close()


def test_a_revoked_certificate_counts_for_nothing_on_a_connection_that_it_opened(source, tmp_path, authority):
    client = material(tmp_path / "client.pem", authority)
    _, server = handshake(server_context(source), client_context(client))
    der, peers = server.getpeercert(binary_form=True), Peers(source)
    assert peers.peer(der).role == "member"
    source.change(revoked=Revoked(number=1, serials=frozenset({read_der(der).serial})))
    assert peers.peer(der) is None


class Pair:
    """A certificate and its key in two files, as other programs write them, one after the other."""

    def __init__(self, directory: Path, authority) -> None:
        self.certificate, self.key = directory / "server.crt", directory / "server.key"
        self._authority = authority

    def stamp(self):
        return tuple(path.stat().st_mtime_ns for path in (self.certificate, self.key) if path.exists())

    def material(self):
        trusted = (self._authority.certificate,)
        return Material(certificate_file=self.certificate, key_file=self.key, authorities=trusted)


def test_a_certificate_without_its_key_changes_nothing_until_the_key_follows(tmp_path, authority, caplog):
    pair = Pair(tmp_path, authority)
    one, two = (identity_file(tmp_path / name, authority) for name in ("one.pem", "two.pem"))
    shutil.copy(one, pair.certificate)
    shutil.copy(one, pair.key)
    server, trust = server_context(pair), client_context(Material(authorities=(authority.certificate,)))

    def shown():
        return read_der(handshake(server, trust)[0].getpeercert(binary_form=True)).serial

    assert shown() == serial_in(one)
    with caplog.at_level(logging.WARNING, "fg_tls.pki.contexts"):
        shutil.copy(two, pair.certificate)
        assert [shown() for _ in range(3)] == [serial_in(one)] * 3
        (message,) = [record.getMessage() for record in caplog.records]  # said once, not with every handshake
        expected = f"{pair.certificate} and {pair.key}: the private key is not that of the certificate"
        assert message == f"keeping the certificate that is in use: {expected}"
        shutil.copy(two, pair.key)
        assert shown() == serial_in(two)
        pair.key.unlink()
        assert shown() == serial_in(two)
    assert f"{pair.certificate} and {pair.key} cannot be read: No such file" in caplog.records[-1].getMessage()


def test_clients_follow_their_source_with_every_new_connection(port, source, tmp_path, authority):
    stranger = new_authority("stranger")
    held = Held(Material(authorities=(stranger.certificate,)))
    contexts = LiveContext(held, client_context)
    with pytest.raises(ssl.SSLCertVerificationError):
        Client(port, contexts.current())
    held.change(authorities=(stranger.certificate, authority.certificate))
    assert serial_shown(port, contexts.current()) == serial_in(source.now.certificate_file)
    assert contexts.current() is contexts.current()
    held.change(certificate_file=tmp_path / "missing.pem")
    assert serial_shown(port, contexts.current()) == serial_in(source.now.certificate_file)
    assert contexts.material.certificate_file == tmp_path / "missing.pem"
