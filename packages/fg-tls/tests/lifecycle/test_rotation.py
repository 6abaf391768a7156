"""A new authority in three phases: nobody is locked out, whoever is away and whenever the power fails."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from fg_tls import JoinError, PeerError
from fg_tls.host.provisioning import mint
from fg_tls.host.store import Store
from fg_tls.issuing.bulletin import Bulletin
from fg_tls.issuing.revoking import revoke
from fg_tls.issuing.rotation import note, proceed, rotate
from fg_tls.membership.keeper import Keeper
from fg_tls.membership.renewal import renew
from fg_tls.pki.authority import Authority
from fg_tls.pki.names import Names, parse_names, private_constraints
from fg_tls.pki.succession import Succession, followed, successions

from .household import LONGEST_WAIT, START, Host, member_id, talk


def all_talk(hosts):
    return {talk(one, other) for one, other in product(hosts, hosts)} == {None}


def test_each_phase_waits_for_every_member_and_all_can_talk_in_each(running, clock):
    stores = [running.member("a"), running.member("b")]
    hosts = [Host(each, clock) for each in (running.store, *stores)]
    old = running.store.authority().certificate
    for phase in ("trust", "reissue", "drop"):
        report = rotate(running.store, clock)
        assert (report.phase, report.finished) == (phase, False)
        assert {each.partition(" ")[0] for each in report.waiting} == {"a", "b"}
        assert all_talk(hosts)
        running.follow(stores[0])
        assert all_talk(hosts)
        assert {each.partition(" ")[0] for each in rotate(running.store, clock).waiting} == {"b"}
        running.follow(stores[1])
        assert all_talk(hosts)
    assert rotate(running.store, clock).phase == "drop"
    new = running.store.authority().certificate
    assert new != old and new.cluster == old.cluster
    assert (
        running.store.authority().constraints
        == Authority(certificate=old, key=running.store.authority().key).constraints
    )
    assert {each.cluster_authorities() for each in (running.store, *stores)} == {(new,)}
    assert all(each.identity().certificate.issued_by(new) for each in (running.store, *stores))
    assert old.der not in b"".join(path.read_bytes() for path in (running.store.directory / "ca").glob("*.pem"))


def test_a_report_of_the_bulletin_before_a_phase_is_none_of_that_phase(running, clock):
    """The books name a phase a moment before the bulletin does; whoever asks in between knows nothing of it."""
    store = running.member("a")
    own, before = store.identity().certificate, Bulletin.of(running.store)
    assert rotate(running.store, clock).phase == "trust"
    note(running.issuer, own, before.authorities)
    assert running.issuer.books.member(member_id("a")).phase == 0
    note(running.issuer, own, Bulletin.of(running.store).authorities)
    assert running.issuer.books.member(member_id("a")).phase == 1


def test_many_that_go_on_with_one_replacement_are_one(household, clock):
    """A person and the keepers of several processes take turns, in its beginning and in each later phase."""
    old = household.store.authority().certificate
    waited_for = household.member("a").identity().certificate
    assert {each.phase for each in at_once(rotate, household.store, clock)} == {"trust"}
    trusted = household.store.cluster_authorities()
    assert (len(trusted), trusted[0]) == (2, old)
    for phase in (1, 2, 3):
        household.issuer.books.seen(waited_for, now=clock(), phase=phase)
        reports = at_once(proceed, household.store, clock)
    assert sum(each is not None for each in reports) == 1
    assert household.issuer.books.rotation() == {}
    assert household.store.cluster_authorities() == trusted[1:] == (household.store.authority().certificate,)
    assert [each.holds([old]) for each in successions(household.store)] == [True]


def at_once(go_on, store, clock, times=6):
    together = threading.Barrier(times)

    def go(_):
        together.wait(LONGEST_WAIT)
        return go_on(Store(store.directory), clock)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(go, range(times)))


def test_the_last_report_finishes_it(running, clock):
    store = running.member("a")
    for _ in range(3):
        rotate(running.store, clock)
        running.follow(store)
    assert proceed(running.store, clock).finished
    assert proceed(running.store, clock) is None


def test_the_host_of_the_authority_goes_on_by_itself(running, clock):
    store = running.member("a")
    rotate(running.store, clock)
    keeper = Keeper(running.store, clock)
    for _ in range(4):
        running.follow(store)
        keeper.round()
    assert running.issuer.books.rotation() == {}
    assert store.cluster_authorities() == (running.store.authority().certificate,)


def test_who_is_away_is_named_and_left_behind_only_by_force(running, clock):
    running.member("away")
    clock.forward(hours=2)
    here = running.member("a")
    for _ in range(2):
        report = rotate(running.store, clock)
        assert [each.partition(" ")[0] for each in report.away] == ["away"]
        running.follow(here)
    assert report.phase == "trust"
    assert rotate(running.store, clock, force=True).waiting == (
        f"away ({member_id('away')})",
        f"a ({member_id('a')})",
    )
    for _ in range(2):
        running.follow(here)
        report = rotate(running.store, clock)
    assert report.finished


def test_minted_certificates_cannot_report_and_are_named_until_they_are_minted_anew(running, clock, tmp_path):
    here = running.member("a")
    old = mint(running.store, parse_names(["printer.lan"]), tmp_path / "old", clock=clock)
    report = rotate(running.store, clock)
    assert report.waiting == (f"a ({member_id('a')})",)
    assert report.minted == (f"printer.lan ({old.member.id})",)
    running.follow(here)
    assert rotate(running.store, clock).phase == "reissue"
    new = mint(running.store, parse_names(["printer.lan"]), tmp_path / "new", clock=clock)
    assert new.issued_by(running.store.authority().certificate)
    assert rotate(running.store, clock).minted == report.minted
    revoke(running.store, old.member.id, clock)  # it is replaced
    assert rotate(running.store, clock).minted == ()
    running.follow(here)
    assert rotate(running.store, clock).phase == "drop"
    running.follow(here)
    assert rotate(running.store, clock).finished


def test_a_minted_certificate_that_a_host_calls_with_is_waited_for(running, clock, tmp_path):
    certificate = mint(running.store, parse_names(["printer.lan"]), tmp_path / "files", clock=clock)
    running.issuer.books.seen(certificate, now=clock())
    report = rotate(running.store, clock)
    assert (report.waiting, report.minted) == ((f"printer.lan ({certificate.member.id})",), ())


def test_who_was_left_behind_by_force_comes_back_by_itself(running, clock):
    """At once, and not when its certificate would have been due: until then it could talk to nobody."""
    store = running.member("a")
    clock.forward(hours=1)
    assert rotate(running.store, clock, force=True).finished
    keeper = Keeper(store, clock, poll=0)
    with pytest.raises(PeerError):
        keeper.round()  # it learns who the successor is, who does not know it
    keeper.round()
    assert store.cluster_authorities() == (running.store.authority().certificate,)
    assert all_talk([Host(each, clock) for each in (running.store, store)])


def test_who_was_not_seen_for_thirty_days_holds_nothing_up(running, clock):
    running.member("gone")
    clock.forward(days=31)
    renew(running.store, clock, names=Names())
    assert rotate(running.store, clock).finished


def test_reports_of_one_replacement_do_not_count_for_the_next(running, clock):
    store = running.member("a")
    for _ in range(4):
        rotate(running.store, clock)
        running.follow(store)
    assert running.issuer.books.rotation() == {}
    clock.forward(days=1)
    assert rotate(running.store, clock).phase == "trust"


@pytest.mark.parametrize("sleeps_from", [0, 1, 2])
def test_a_host_that_slept_through_two_replacements_follows_both(running, clock, sleeps_from):
    store = running.member("a")
    for phase in range(sleeps_from):
        rotate(running.store, clock)
        running.follow(store)
        assert phase < 2
    clock.forward(days=40)
    renew(running.store, clock, names=Names())
    rotate(running.store, clock)
    clock.forward(days=1)
    assert rotate(running.store, clock).finished
    renew(store, clock, names=Names())
    assert store.cluster_authorities() == (running.store.authority().certificate,)
    assert talk(Host(store, clock), Host(running.store, clock)) is None


class TestSuccession:
    OLD = Authority.create("old", private_constraints(), now=START)
    NEW = Authority.create("new", OLD.constraints, now=START, cluster=OLD.cluster)

    def test_who_trusts_the_old_one_follows(self):
        statement = Succession.from_json(Succession.sign(self.OLD, self.NEW.certificate).to_json())
        assert followed((self.OLD.certificate,), [statement]) == (self.NEW.certificate, self.OLD.certificate)

    def test_who_does_not_trust_it_does_not(self):
        stranger = Authority.create("old", private_constraints(), now=START, cluster=self.OLD.cluster)
        trusted = (stranger.certificate,)
        assert followed(trusted, [Succession.sign(self.OLD, self.NEW.certificate)]) == trusted

    @pytest.mark.parametrize("greed", ["cluster", "constraints"])
    def test_nobody_gains_power_by_it(self, greed):
        cluster = None if greed == "cluster" else self.OLD.cluster
        limits = private_constraints(parse_names(["bank.example"])) if greed == "constraints" else self.OLD.constraints
        greedy = Authority.create("greedy", limits, now=START, cluster=cluster)
        trusted = (self.OLD.certificate,)
        assert followed(trusted, [Succession.sign(self.OLD, greedy.certificate)]) == trusted

    def test_a_changed_statement_is_refused(self):
        other = Authority.create("other", self.OLD.constraints, now=START, cluster=self.OLD.cluster)
        body = Succession.sign(self.OLD, self.NEW.certificate).to_json() | {"successor": other.certificate.pem.decode()}
        trusted = (self.OLD.certificate,)
        assert followed(trusted, [Succession.from_json(body)]) == trusted

    @pytest.mark.parametrize("value", [None, {}, [], {"predecessor": 1, "successor": 2, "signature": 3}, "text"])
    def test_anything_else_is_an_error(self, value):
        with pytest.raises(JoinError, match="cannot be read"):
            Succession.from_json(value)


KILLED = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from fg_tls.issuing.rotation import rotate
from fg_tls.host.store import Store
left = int(sys.argv[3])
def count(event, arguments):
    global left
    if event in ("os.rename", "os.remove", "shutil.move"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
now = datetime.fromisoformat(sys.argv[2])
print(rotate(Store(Path(sys.argv[1])), lambda: now).finished)
"""


def test_killed_before_any_write_the_same_command_goes_on(household, clock, tmp_path):
    """Without other members all three phases pass in one go; each run gets one write further than the last one."""
    old, directory = household.store.authority().certificate, household.store.directory
    killed = 0
    while True:
        command = [sys.executable, "-c", KILLED, directory, clock().isoformat(), str(1 + killed % 3)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_WAIT, check=False)
        household.store.identity()
        assert talk(Host(household.store, clock), Host(household.store, clock)) is None
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        killed += 1
        assert killed < 60
    assert done.stdout == "True\n"
    assert killed >= 5
    new = household.store.authority().certificate
    assert new != old
    assert household.store.cluster_authorities() == (new,)
    assert household.issuer.books.rotation() == {}
    assert not (directory / "ca" / "next.pem").exists()
