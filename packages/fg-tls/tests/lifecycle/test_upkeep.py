"""Hosts on which no server runs: whoever connects sees to the certificate, and to what the issuer says."""

import socket
import threading
from datetime import timedelta

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from fg_tls import AccessTable, PeerError, certificate, connect, http_connection
from fg_tls.host.status import status
from fg_tls.issuing.revoking import revoke
from fg_tls.membership.renewal import renew
from fg_tls.membership.upkeep import keep_up, keeper_lock
from fg_tls.pki.names import Names

from .household import LONGEST_WAIT, serving

ANOTHER = "another"  # not the kind that is found in the records of this machine: no token comes from there
WHO = AccessTable({("GET", "/who"): certificate("member", "submitter")})


async def who(request):
    return JSONResponse(request.scope["extensions"]["forgather.peer"].name)


def app():
    return Starlette(routes=[Route("/who", who)])


def asked_by_httpx(url, store, clock):
    with connect(url, service=ANOTHER, store=store, clock=clock) as client:
        return client.get("/who").json()


def asked_by_http_client(url, store, clock):
    with http_connection(url, service=ANOTHER, store=store, clock=clock) as connection:
        connection.request("GET", "/who")
        return connection.getresponse().read().decode().strip('"')


BOTH = pytest.mark.parametrize("asked", [asked_by_httpx, asked_by_http_client], ids=["httpx", "http.client"])


@BOTH
def test_a_client_whose_certificate_ran_out_connects_without_anybody_typing_renew(running, clock, asked):
    store = running.member("laptop", role="submitter")
    old = store.identity().certificate
    clock.forward(days=35)
    assert not old.valid_at(clock())
    renew(running.store, clock, names=Names())
    with serving(app(), store=running.store, access=WHO, clock=clock) as server:
        assert asked(server.url, store, clock) == old.member.id
    assert store.identity().certificate.not_after == clock() + timedelta(days=30)
    found = status(store, clock)
    assert (found.role, found.warnings, found.not_after) == ("submitter", (), clock() + timedelta(days=30))


@pytest.mark.parametrize("make", [connect, http_connection])
def test_a_client_that_lives_for_longer_than_a_certificate_connects_with_the_next_one(running, clock, make):
    store = running.member("laptop", role="submitter")
    with (
        serving(app(), store=running.store, access=WHO, clock=clock) as server,
        make(server.url, service=ANOTHER, store=store, clock=clock) as client,
    ):
        clock.forward(days=35)
        renew(running.store, clock, names=Names())
        answer = client.request("GET", "/who")
        status_code = answer.status_code if make is connect else client.getresponse().status
        assert status_code == 200
        assert store.identity().certificate.valid_at(clock())


@BOTH
def test_a_server_that_was_revoked_meanwhile_is_refused(running, clock, asked):
    client, server = running.member("laptop", role="submitter"), running.member("box")
    server.save_settings(issuers=[])  # it has not heard of it
    with serving(app(), store=server, access=WHO, clock=clock) as there:
        asked(there.url, client, clock)
        revoke(running.store, "box", clock)
        asked(there.url, client, clock)  # within a minute nobody is asked again
        clock.forward(seconds=61)
        with pytest.raises(PeerError, match=r"box\.lan.* is revoked"):
            asked(there.url, client, clock)


def test_an_issuer_that_says_nothing_holds_up_nobody_for_long(household, clock):
    """The answer is still awaited when the connection is made; in the next minutes nobody waits for it."""
    store = household.member("laptop")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        store.save_settings(issuers=[f"https://127.0.0.1:{listener.getsockname()[1]}"])
        keep_up(store, clock)
        (waiting,) = (each for each in threading.enumerate() if each.name == "fg-tls upkeep")
        keep_up(store, clock)
        assert [each for each in threading.enumerate() if each.name == "fg-tls upkeep"] == [waiting]
    waiting.join(LONGEST_WAIT)
    assert store.read_state()["unanswered"] == 1


def test_who_does_not_answer_is_asked_less_and_less(household, clock):
    with household.issuing():
        store = household.member("laptop")
    keep_up(store, clock)
    for number, minutes in enumerate((2, 4, 8, 16, 16), 2):
        clock.forward(minutes=minutes - 0.1)
        keep_up(store, clock)
        assert store.read_state()["unanswered"] == number - 1
        clock.forward(minutes=0.1)
        keep_up(store, clock)
        assert store.read_state()["unanswered"] == number


def test_after_an_answer_silence_is_forgotten(household, clock):
    with household.issuing():
        store = household.member("laptop")
    for _ in range(3):
        keep_up(store, clock)
        clock.forward(hours=1)
    assert store.read_state()["unanswered"] == 3
    with household.issuing():
        keep_up(store, clock)
    assert "unanswered" not in store.read_state()


def test_a_keeper_of_this_host_is_not_interfered_with(running, clock):
    store = running.member("box")
    clock.forward(days=35)
    before = store.identity_path.read_bytes()
    with keeper_lock(store).held():
        keep_up(store, clock)
        assert store.identity_path.read_bytes() == before
        assert store.read_state() == {}


def test_connections_at_the_same_moment_wait_for_one_renewal(running, clock):
    store = running.member("laptop")
    clock.forward(days=35)
    renew(running.store, clock, names=Names())
    valid = []

    def one():
        keep_up(type(store)(store.directory), clock)
        valid.append(store.identity().certificate.valid_at(clock()))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(LONGEST_WAIT)
    assert valid == [True] * 4
    assert len(running.issuer.books.member(store.identity().certificate.member.id).issued) == 2


@pytest.mark.parametrize("broken", ["identity.pem", "config.yaml", "state.json", "authorities.pem"])
def test_broken_files_raise_nothing_here(running, clock, broken):
    store = running.member("laptop")
    store.write(broken, b"\0 nonsense: [", mode=0o600)
    keep_up(store, clock)


def test_without_an_issuer_or_a_certificate_nothing_happens(household, clock):
    store = household.member("laptop")
    store.save_settings(issuers=[])
    keep_up(store, clock)
    assert store.read_state() == {}
    nowhere = type(store)(household.directory / "nowhere")
    keep_up(nowhere, clock)
    assert not nowhere.directory.exists()
