"""The thread that looks after a host: one in all its processes, patient, and at hand when it is needed."""

import asyncio
import logging
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from fg_tls import AccessTable, PeerError, certificate, connect
from fg_tls.clock import SYSTEM
from fg_tls.host.locks import FileLock
from fg_tls.host.status import status
from fg_tls.issuing.revoking import revoke
from fg_tls.listener.options import ServerOptions
from fg_tls.membership import keeper as keepers
from fg_tls.membership.keeper import Keeper, keeping
from fg_tls.membership.renewal import renew
from fg_tls.pki.names import Names

from .household import LONGEST_WAIT, Household, SetClock, serving

STATE = AccessTable({("GET", "/v1/state"): certificate()})
HOLDER = """
import sys, time
from pathlib import Path
from fg_tls.membership.keeper import Keeper
from fg_tls.host.store import Store
keeper = Keeper(Store(Path(sys.argv[1])))
class Told(Keeper):
    def round(self):
        print("working", flush=True)
        self._stopped.wait(1000)
told = Told(Store(Path(sys.argv[1])))
told.start()
sys.stdin.read()
"""


class Watched(Keeper):
    """Says when it begins a round."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.rounds = threading.Semaphore(0)
        self.done = threading.Semaphore(0)
        self.ended = threading.Event()

    def round(self):
        self.rounds.release()
        try:
            super().round()
        finally:
            self.done.release()

    def _run(self):
        super()._run()
        self.ended.set()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    for name in ("_REST", "_TAKE_OVER", "_FIRST_RETRY"):
        monkeypatch.setattr(keepers, name, 0.05)


def test_it_renews_what_is_due(running, clock):
    store = running.member("a")
    old = store.identity().certificate
    clock.forward(days=23)
    keeper = Watched(store, clock, poll=0)
    keeper.start()
    assert keeper.done.acquire(timeout=LONGEST_WAIT)
    keeper.stop()
    assert store.identity().certificate.not_before > old.not_before


def test_a_clock_that_was_ahead_for_a_while_leaves_no_certificate_of_the_future(running, clock):
    """On the host of the authority: nobody would believe it until then, and nobody could renew."""
    store, now = running.member("a"), clock()
    clock.now = now + timedelta(days=25)
    Keeper(running.store, clock).round()
    renew(store, clock, names=Names())
    clock.now = now
    assert not running.store.identity().certificate.valid_at(now)
    Keeper(running.store, clock).round()
    assert running.store.identity().certificate.valid_at(now)
    assert renew(store, clock, names=Names()).certificate.valid_at(now)


def test_it_goes_on_after_failures_until_an_issuer_is_back(household, clock):
    with household.issuing():
        store = household.member("a")
    clock.forward(days=23)
    keeper = Watched(store, clock, poll=0)
    keeper.start()
    assert keeper.done.acquire(timeout=LONGEST_WAIT)
    assert keeper.done.acquire(timeout=LONGEST_WAIT)
    assert "nothing listens" in store.read_state()["last_failure"]
    with household.issuing():
        while not store.identity().certificate.valid_at(clock()) or "last_failure" in store.read_state():
            assert keeper.done.acquire(timeout=LONGEST_WAIT)
    keeper.stop()


def test_broken_files_do_not_end_it(running, clock):
    store = running.member("a")
    good = store.identity_path.read_bytes()
    store.write("identity.pem", b"nonsense", mode=0o600)
    keeper = Watched(store, clock, poll=0)
    keeper.start()
    assert keeper.done.acquire(timeout=LONGEST_WAIT)
    store.write("identity.pem", good, mode=0o600)
    clock.forward(days=23)
    while store.identity_path.read_bytes() == good:
        assert keeper.done.acquire(timeout=LONGEST_WAIT)
    keeper.stop()


def test_one_process_works_and_another_takes_over_when_it_is_killed(household, clock):
    with household.issuing():
        store = household.member("a")
    command = [sys.executable, "-c", HOLDER, store.directory]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "working\n"
        keeper = Watched(store, clock, poll=0)
        with heard("another process looks after the certificate of this host") as refused:
            keeper.start()
            for _ in range(3):
                assert refused.acquire(timeout=LONGEST_WAIT)
        assert not keeper.rounds.acquire(blocking=False)
        other.kill()
        assert keeper.rounds.acquire(timeout=LONGEST_WAIT)
        keeper.stop()


@contextmanager
def heard(message):
    """Released whenever the keeper logs that."""
    times = threading.Semaphore(0)
    handler = logging.Handler()
    handler.emit = lambda record: times.release() if record.getMessage() == message else None
    before = keepers.logger.level
    keepers.logger.setLevel(logging.DEBUG)
    keepers.logger.addHandler(handler)
    try:
        yield times
    finally:
        keepers.logger.removeHandler(handler)
        keepers.logger.setLevel(before)


@pytest.mark.parametrize("early", [False, True], ids=["while it waits", "before it asks"])
def test_it_ends_although_an_issuer_has_not_answered(household, clock, early):
    asked = threading.Event()

    async def never(_request):
        asked.set()
        await asyncio.Event().wait()

    store = household.member("a")
    app = Starlette(routes=[Route("/v1/state", never)])
    with serving(app, store=household.store, access=STATE, clock=clock) as running:
        store.save_settings(issuers=[f"https://127.0.0.1:{running.port}"])
        keeper = Watched(store, clock, poll=1000)
        if early:
            keeper.stop()
            with pytest.raises(PeerError):
                keeper.round()
            assert not asked.is_set()
            return
        keeper.start()
        assert asked.wait(LONGEST_WAIT)
        keeper.stop()
        assert keeper.ended.wait(LONGEST_WAIT)
    with FileLock(store.directory / ".keeper.lock").held(longest_wait=0):
        pass


def test_a_host_without_a_certificate_of_ours_is_left_alone(tmp_path):
    store = Household(tmp_path, SetClock()).store
    store.identity_path.unlink()
    with keeping(store):
        assert not any(each.name == "fg-tls keeper" for each in threading.enumerate())


def test_a_server_looks_after_its_host(tmp_path):
    """Nothing but `serve` runs at the authority's host, and its certificate is in the books of a replaced authority."""
    household = Household(tmp_path, SYSTEM)
    with household.issuing():
        held = threading.Event()
        while not held.is_set():
            try:
                with FileLock(household.store.directory / ".keeper.lock").held(longest_wait=0):
                    pass
            except ValueError:
                held.set()
        assert any(each.name == "fg-tls keeper" for each in threading.enumerate())


def test_revocations_reach_a_server_with_a_certificate_from_the_command_line(tmp_path, monkeypatch):
    household = Household(tmp_path, SYSTEM)
    with household.issuing():
        box, stolen = household.member("box"), household.member("stolen")
        monkeypatch.setenv("FORGATHER_TLS_DIR", str(box.directory))
        brought = tmp_path / "brought.pem"
        brought.write_bytes(box.identity_path.read_bytes())
        brought.chmod(0o600)
        source = ServerOptions(certificate=brought).source()
        app = Starlette(routes=[Route("/v1/state", lambda _request: PlainTextResponse("admitted"))])
        with serving(app, store=source, access=STATE) as running:
            client = connect(running.url, service="another", store=stolen)
            assert client.get("/v1/state").text == "admitted"
            revoke(household.store, "stolen")
            deadline = time.monotonic() + LONGEST_WAIT
            while client.get("/v1/state").status_code == 200:
                assert time.monotonic() < deadline
            assert client.get("/v1/state").status_code == 401
            client.close()


def test_a_host_that_hears_from_no_issuer_for_days_says_so_until_one_answers(household, clock):
    with household.issuing():
        member = household.member("a")
        Keeper(member, clock, poll=0).round()
    assert "unheard_since" not in member.read_state()
    for _ in range(2):
        with pytest.raises(PeerError, match="nothing listens"):
            Keeper(member, clock, poll=0).round()
        clock.forward(hours=13)
    silent = [each for each in status(member, clock).warnings if "no issuer has told this host anything" in each]
    assert len(silent) == 1 and f"doctor 127.0.0.1:{household.port}" in silent[0]
    with household.issuing():
        Keeper(member, clock, poll=0).round()
    assert not [each for each in status(member, clock).warnings if "no issuer" in each]


def test_who_ends_while_it_waits_for_an_issuer_has_not_been_left_alone(running, clock):
    member = running.member("a")
    keeper = Keeper(member, clock)
    keeper.stop()
    with pytest.raises(PeerError):
        keeper.round()
    assert "unheard_since" not in member.read_state()
