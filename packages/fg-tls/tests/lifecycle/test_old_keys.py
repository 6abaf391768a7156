"""Which certificates are followed by a next one: an old key that somebody finds must not bring the finder in."""

from datetime import timedelta

import pytest

from fg_tls import JoinError
from fg_tls.issuing import book_entries
from fg_tls.membership.keeper import Keeper
from fg_tls.membership.renewal import renew
from fg_tls.pki.names import Names

from .household import member_id

NO_NAMES = Names()


@pytest.fixture
def store(running):
    return running.member("a")


def copied(store, tmp_path):
    """A backup of the directory of a host, which somebody finds."""
    found = type(store)(tmp_path / "copy")
    found.save_authorities(store.cluster_authorities())
    found.save_settings(issuers=list(store.settings().issuers))
    found.save_identity(store.identity())
    return found


@pytest.mark.parametrize("days", [0, 31], ids=["in time", "late"])
def test_an_old_key_gets_nothing_once_the_newest_was_used(running, clock, store, tmp_path, days):
    thief = copied(store, tmp_path)
    renew(store, clock, names=NO_NAMES)
    running.follow(store)
    clock.forward(days=days)
    renew(running.store, clock, names=NO_NAMES)
    before = running.issuer.books.member(member_id("a")).issued
    with pytest.raises(JoinError, match=r"has called with a newer certificate since; .* `forgather tls revoke"):
        renew(thief, clock, names=NO_NAMES)
    assert running.issuer.books.member(member_id("a")).issued == before
    assert renew(store, clock, names=NO_NAMES).certificate.valid_at(clock())


def test_using_a_certificate_to_renew_shows_it(running, clock, store, tmp_path):
    """Also where no server runs, whose keeper would call: two renewals, and the first key is of no more use."""
    thief = copied(store, tmp_path)
    renew(store, clock, names=NO_NAMES)
    renew(store, clock, names=NO_NAMES)
    with pytest.raises(JoinError, match="newer certificate since"):
        renew(thief, clock, names=NO_NAMES)


@pytest.mark.parametrize("days", [1, 31], ids=["in time", "late"])
def test_answers_that_were_lost_cost_nothing(running, clock, store, days):
    before = store.identity()
    for _ in range(3):
        renew(store, clock, names=NO_NAMES)
        store.save_identity(before)  # the power failed before the answer was kept
    clock.forward(days=days)
    renew(running.store, clock, names=NO_NAMES)
    assert renew(store, clock, names=NO_NAMES).certificate.valid_at(clock())


def test_a_thief_who_is_quicker_is_noticed(running, clock, store, tmp_path):
    thief = copied(store, tmp_path)
    renew(thief, clock, names=NO_NAMES)
    running.follow(thief)
    with pytest.raises(JoinError, match="newer certificate since"):
        renew(store, clock, names=NO_NAMES)
    assert "newer certificate since" in store.read_state()["last_failure"]


def test_whoever_has_an_old_certificate_reports_nothing(running, clock, store, tmp_path):
    thief = copied(store, tmp_path)
    renew(store, clock, names=NO_NAMES)
    running.follow(store)
    clock.forward(hours=1)
    seen = running.issuer.books.member(member_id("a"))
    Keeper(thief, clock, poll=0).round()
    assert running.issuer.books.member(member_id("a")) == seen


def test_the_order_is_that_of_the_books_when_the_clock_of_the_issuer_jumps(running, clock, store, tmp_path):
    thief = copied(store, tmp_path)
    now = clock()
    clock.now = now + timedelta(days=10)
    renew(store, clock, names=NO_NAMES)
    clock.now = now
    Keeper(running.store, clock).round()
    renew(store, clock, names=NO_NAMES)  # not after the one before, by the dates that they have
    with pytest.raises(JoinError, match="newer certificate since"):
        renew(thief, clock, names=NO_NAMES)
    assert renew(store, clock, names=NO_NAMES).certificate.valid_at(clock())


def test_books_that_are_older_than_a_certificate_learn_of_it(running, clock, store):
    backup = running.issuer.books.path.read_bytes()
    lost = renew(store, clock, names=NO_NAMES).certificate
    running.store.write("ca/books.json", backup, mode=0o600)
    renewed = renew(store, clock, names=NO_NAMES).certificate
    assert [each.serial for each in running.issuer.books.member(member_id("a")).issued][1:] == [
        lost.serial,
        renewed.serial,
    ]


def test_no_member_fills_the_books(running, clock, store, monkeypatch):
    monkeypatch.setattr(book_entries, "_MOST_CERTIFICATES", 5)
    for _ in range(4):
        renew(store, clock, names=NO_NAMES)
    with pytest.raises(JoinError, match="was issued 5 certificates within months"):
        renew(store, clock, names=NO_NAMES)
