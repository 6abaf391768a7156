"""The next certificate: in time, late, from a new authority, and not at all."""

import base64
import itertools
import socket
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg_tls import JoinError, PeerError
from fg_tls.issuing import proof
from fg_tls.issuing.answers import answer_proof
from fg_tls.issuing.revoking import revoke
from fg_tls.issuing.rotation import rotate
from fg_tls.membership import asking, renewal
from fg_tls.membership.renewal import due, renew, renew_at
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Member
from fg_tls.pki.keys import new_key
from fg_tls.pki.names import Names, parse_names, private_constraints
from fg_tls.pki.signing_requests import signing_request

from .household import START, Household, SetClock, member_id

NO_NAMES = Names()
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
AUTHORITY = Authority.create("test", private_constraints(), now=START)
KEY = new_key()


@given(st.integers(0, 3600 * 86400))
def test_certificates_are_renewed_between_day_18_and_day_22(seconds):
    now = START + timedelta(seconds=seconds)
    member = Member(cluster=AUTHORITY.cluster, role="member", id="a")
    leaf = AUTHORITY.issue(KEY.public_key(), member=member, names=parse_names(["a.lan"]), now=now)
    assert timedelta(days=18) <= renew_at(leaf) - leaf.not_before <= timedelta(days=22, minutes=5)
    assert renew_at(leaf) == renew_at(leaf)


def test_the_issuer_that_answered_last_is_asked_first(running, clock, monkeypatch):
    monkeypatch.setattr(asking, "_CONNECT_TIMEOUT", 2.0)
    monkeypatch.setattr(renewal, "_SLOW", 0.1)
    store, said = running.member("a"), []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dead = f"https://127.0.0.1:{silent.getsockname()[1]}"
        running.store.save_settings(issuers=[dead, *running.store.settings().issuers])
        store.save_settings(issuers=list(running.store.settings().issuers))
        first = renew(store, clock, names=NO_NAMES, progress=said.append)
        assert said[0] == f"waiting for the issuer at {dead}"
        silent.setblocking(False)
        assert drained(silent) > 0
        said.clear()
        assert renew(store, clock, names=NO_NAMES, progress=said.append).certificate != first.certificate
        assert not [each for each in said if dead in each]
        assert drained(silent) == 0
    assert store.settings().issuers[0] == dead  # the order of the list is a person's


def drained(listener):
    """How many have connected since the last time."""
    for count in itertools.count():
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count


def test_renewals_of_many_hosts_are_spread(household):
    moments = {renew_at(household.member(f"host{n}").identity().certificate) for n in range(20)}
    assert len(moments) == 20
    assert max(moments) - min(moments) > timedelta(days=1)


def test_a_host_renews_with_a_new_key_and_stays_who_it_is(running, clock):
    store = running.member("a")
    old = store.identity()
    clock.forward(days=23)
    assert due(old, clock())
    new = renew(store, clock, names=parse_names(["extra.lan"]))
    assert store.identity().certificate == new.certificate
    assert new.certificate.member == old.certificate.member
    assert new.certificate.key_hash != old.certificate.key_hash
    assert new.certificate.not_after == clock() + timedelta(days=30)
    assert {"a.lan", "extra.lan"} <= set(new.certificate.names.hostnames)
    assert not due(new, clock())


def test_names_follow_the_host_and_what_was_set_for_it_stays(running, clock):
    """A laptop in three networks, which is renamed on the way."""
    store = running.member("a")
    store.save_settings(hostnames=["set.lan"], addresses=["10.9.9.9"])
    for own in ("old.lan 10.0.0.5", "old.lan 10.0.1.5 192.168.7.2", "new.lan 10.0.2.5"):
        names = renew(store, clock, names=parse_names(own.split())).certificate.names
        assert set(str(names).split(", ")) == LOOPBACK | {"a.lan", "set.lan", "10.9.9.9", *own.split()}
    assert "10.0.0.5" in renew(running.member("b"), clock, names=parse_names(["10.0.0.5"])).certificate.names


def test_a_name_of_another_member_is_not_given_and_costs_nothing(running, clock):
    running.member("b")
    store = running.member("a")
    renewed = renew(store, clock, names=parse_names(["b.lan"]))
    assert "b.lan" not in renewed.certificate.names.hostnames
    assert "a.lan" in renewed.certificate.names.hostnames


def test_the_host_of_the_authority_renews_without_asking_anybody(household, clock):
    old = household.store.identity().certificate
    clock.forward(days=40)
    new = renew(household.store, clock, names=NO_NAMES).certificate
    assert new.member == old.member
    assert new.valid_at(clock())
    assert household.issuer.books.member(member_id("authority")).issued[-1].serial == new.serial


@pytest.mark.parametrize(("days", "admitted"), [(31, True), (119, True), (121, False)])
def test_a_host_that_was_off_comes_back_for_ninety_days(running, clock, days, admitted):
    store = running.member("a")
    before = store.identity_path.read_bytes()
    clock.forward(days=days)
    renew(running.store, clock, names=NO_NAMES)
    if admitted:
        assert renew(store, clock, names=NO_NAMES).certificate.valid_at(clock())
        return
    with pytest.raises(JoinError, match="more than 90 days ago; join again: `forgather tls join-token`"):
        renew(store, clock, names=NO_NAMES)
    assert store.identity_path.read_bytes() == before


def test_a_revoked_member_gets_no_certificate_in_time_or_late(running, clock):
    store = running.member("a")
    store.save_settings(issuers=[*store.settings().issuers, "https://127.0.0.1:9"])  # its silence is not the reason
    revoke(running.store, "a", clock)
    with pytest.raises(
        JoinError, match=f"member {member_id('a')} was revoked on 2026-01-01; .*`forgather tls join --force`"
    ):
        renew(store, clock, names=NO_NAMES)
    clock.forward(days=31)
    renew(running.store, clock, names=NO_NAMES)
    with pytest.raises(JoinError, match=f"member {member_id('a')} was revoked on 2026-01-01"):
        renew(store, clock, names=NO_NAMES)


def test_a_failure_is_remembered_since_when_and_said_once(household, clock, caplog):
    with household.issuing():
        store = household.member("a")
    for _ in range(3):
        with pytest.raises(PeerError, match="nothing listens"):
            renew(store, clock, names=NO_NAMES)
        clock.forward(hours=1)
    assert store.read_state()["failing_since"] == START.isoformat()
    assert "nothing listens" in store.read_state()["last_failure"]
    assert sum("cannot renew" in record.message for record in caplog.records) == 1
    with household.issuing():
        renew(store, clock, names=NO_NAMES)
    assert "last_failure" not in store.read_state()


@pytest.mark.parametrize(("minutes", "works"), [(4, True), (-4, True), (10, True), (24 * 60, True)])
def test_a_host_whose_clock_is_behind_or_ahead_still_renews(running, clock, minutes, works):
    store = running.member("a")
    clock.forward(days=21)
    renew(running.store, clock, names=NO_NAMES)
    theirs = SetClock(clock() + timedelta(minutes=minutes))
    assert renew(store, theirs, names=NO_NAMES).certificate.valid_at(clock()) is works


def test_a_clock_that_is_a_day_behind_is_named(running, clock):
    store = running.member("a")
    clock.forward(days=21)
    renew(running.store, clock, names=NO_NAMES)
    with pytest.raises(PeerError, match="clock"):
        renew(store, SetClock(clock() - timedelta(days=1)), names=NO_NAMES)


class TestProof:
    @pytest.fixture
    def lost(self, household, clock):
        """An identity that ran out."""
        identity = household.member("a").identity()
        clock.forward(days=40)
        return identity

    @pytest.fixture
    def challenges(self, clock):
        return proof.Challenges(clock)

    def body(self, household, challenges, identity, key=None):
        old = {"certificate": identity.certificate.pem.decode()}
        challenge = answer_proof(household.issuer, challenges, old)["challenge"]
        csr = signing_request(new_key())
        signature = proof.sign(key or identity.key, challenge, identity.certificate, csr)
        return old | {"csr": csr, "challenge": challenge, "signature": signature}

    def test_it_counts_once(self, household, challenges, lost):
        body = self.body(household, challenges, lost)
        assert "BEGIN CERTIFICATE" in answer_proof(household.issuer, challenges, body)["certificate"]
        with pytest.raises(JoinError, match="used before"):
            answer_proof(household.issuer, challenges, body)

    def test_it_counts_for_a_minute(self, household, challenges, lost, clock):
        body = self.body(household, challenges, lost)
        clock.forward(seconds=61)
        with pytest.raises(JoinError, match="over a minute old"):
            answer_proof(household.issuer, challenges, body)

    def test_another_key_proves_nothing(self, household, challenges, lost):
        with pytest.raises(JoinError, match="not by the key"):
            answer_proof(household.issuer, challenges, self.body(household, challenges, lost, key=new_key()))

    def test_the_request_cannot_be_exchanged(self, household, challenges, lost):
        body = self.body(household, challenges, lost) | {"csr": signing_request(new_key())}
        with pytest.raises(JoinError, match="not by the key"):
            answer_proof(household.issuer, challenges, body)

    def test_a_challenge_for_one_host_does_not_serve_another(self, household, challenges, lost):
        other = household.member("b").identity()
        body = self.body(household, challenges, lost)
        stolen = body | {
            "certificate": other.certificate.pem.decode(),
            "signature": proof.sign(other.key, body["challenge"], other.certificate, body["csr"]),
        }
        with pytest.raises(JoinError, match="not of this issuer"):
            answer_proof(household.issuer, challenges, stolen)

    @pytest.mark.parametrize("challenge", ["", "AAAA", "é", base64.urlsafe_b64encode(bytes(56)).decode()])
    def test_a_made_up_challenge_is_refused(self, household, challenges, lost, challenge):
        body = self.body(household, challenges, lost) | {"challenge": challenge}
        with pytest.raises(JoinError, match="not of this issuer"):
            answer_proof(household.issuer, challenges, body)

    def test_a_certificate_of_another_authority_is_refused(self, household, challenges, clock, tmp_path):
        stranger = Household(tmp_path / "elsewhere", clock).member("a").identity()
        with pytest.raises(JoinError, match="not issued by an authority of this cluster"):
            answer_proof(household.issuer, challenges, {"certificate": stranger.certificate.pem.decode()})


@pytest.mark.parametrize("compromised", [False, True])
def test_a_host_that_slept_through_a_new_authority_finds_it_unless_the_old_key_was_stolen(running, clock, compromised):
    store = running.member("a")
    clock.forward(days=35)
    renew(running.store, clock, names=NO_NAMES)
    report = rotate(running.store, clock, force=True, compromised=compromised)
    assert report.finished
    if compromised:
        with pytest.raises(PeerError):
            renew(store, clock, names=NO_NAMES)
        return
    renewed = renew(store, clock, names=NO_NAMES).certificate
    assert renewed.issued_by(running.store.authority().certificate)
    assert store.cluster_authorities() == (running.store.authority().certificate,)
