import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg_tls import NotProvisionedError, Store, StoreError
from fg_tls.issuing.book_entries import RETURN_PERIOD, Issued, MemberEntry, TokenEntry
from fg_tls.issuing.books import Books
from fg_tls.pki.certificates import Member
from fg_tls.pki.keys import new_key
from fg_tls.pki.names import Names, parse_names

from .hosts import LONGEST_WAIT, killed_at_change

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TIMES = st.datetimes(timezones=st.just(UTC))
NAMES = st.builds(
    lambda hosts, addresses: parse_names([*(f"{each}.lan" for each in hosts), *map(str, addresses)]),
    st.lists(st.sampled_from("abc"), unique=True),
    st.lists(st.ip_addresses(), max_size=3, unique=True),
)
ROLES = st.sampled_from(["member", "submitter"])
TOKENS = st.builds(
    TokenEntry,
    id=st.text(),
    secret=st.binary(),
    role=ROLES,
    names=NAMES,
    expires=TIMES,
    used=st.none() | TIMES,
    wrong_macs=st.integers(0, 9),
)
MEMBERS = st.builds(
    MemberEntry,
    id=st.text(),
    role=ROLES,
    hostname=st.text(),
    names=NAMES,
    bound=NAMES,
    issued=st.lists(st.builds(Issued, serial=st.integers(1, 2**159), not_after=TIMES)).map(tuple),
    joined=TIMES,
    last_seen=TIMES,
    shown=st.none() | st.integers(1, 2**159),
    phase=st.integers(0, 3),
    revoked=st.none() | TIMES,
)


def token_entry(token_id="t", *, expires=NOW + DAY):
    return TokenEntry(id=token_id, secret=b"s", role="member", names=Names(), expires=expires)


def certificate(issuer, member_id, names=(), *, now=NOW):
    authority = issuer.store.authority()
    member = Member(cluster=authority.cluster, role="member", id=member_id)
    return authority.issue(new_key().public_key(), member=member, names=parse_names(names), now=now)


@given(TOKENS)
def test_tokens_come_back_from_json(entry):
    assert TokenEntry.from_json(json.loads(json.dumps(entry.to_json()))) == entry


@given(MEMBERS)
def test_members_come_back_from_json(entry):
    assert MemberEntry.from_json(json.loads(json.dumps(entry.to_json()))) == entry


def test_entries_are_there_for_whoever_opens_the_books_next(issuer):
    issuer.books.add_token(token_entry(), now=NOW)
    first = issuer.books.record_issue(certificate(issuer, "a1", ["wopr.lan"]), now=NOW, hostname="wopr")
    issuer.books.set_rotation({"phase": 2})
    found = Books(issuer.store).read()
    assert found.tokens == {"t": token_entry()}
    assert found.members["a1"] == first
    assert (first.hostname, str(first.names), first.joined, first.revoked) == ("wopr", "wopr.lan", NOW, None)
    assert found.rotation == {"phase": 2}


def test_the_books_are_private_whatever_the_umask(issuer):
    before = os.umask(0)
    try:
        issuer.books.add_token(token_entry(), now=NOW)
    finally:
        os.umask(before)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in issuer.books.path.parent.glob("books.*")} == {
        "books.json": "0o600",
        "books.lock": "0o600",
    }
    assert issuer.books.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_member_keeps_its_certificates_until_nobody_can_return_by_them(issuer):
    first = certificate(issuer, "a1", ["wopr.lan"])
    second = certificate(issuer, "a1", ["joshua.lan"], now=NOW + 20 * DAY)
    third = certificate(issuer, "a1", ["joshua.lan"], now=NOW + 121 * DAY)
    for each, when in ((first, NOW), (second, NOW + 20 * DAY), (third, NOW + 121 * DAY)):
        issuer.books.record_issue(each, now=when)
    entry = issuer.books.member("a1")
    assert [each.serial for each in entry.issued] == [second.serial, third.serial]
    assert str(entry.names) == "joshua.lan"
    assert entry.joined == NOW


def test_revoking_names_every_certificate_that_still_holds(issuer):
    first, second = certificate(issuer, "a1"), certificate(issuer, "a1", now=NOW + 20 * DAY)
    issuer.books.record_issue(first, now=NOW)
    issuer.books.record_issue(second, now=NOW + 20 * DAY)
    assert issuer.books.revoke("a1", now=NOW + 21 * DAY) == (first.serial, second.serial)
    assert issuer.books.revoke("a1", now=NOW + 35 * DAY) == (second.serial,)
    assert issuer.books.member("a1").revoked == NOW + 21 * DAY
    with pytest.raises(KeyError):
        issuer.books.revoke("nobody", now=NOW)


def test_a_member_lives_until_it_cannot_return(issuer):
    issuer.books.record_issue(certificate(issuer, "a1"), now=NOW)
    entry = issuer.books.member("a1")
    end = entry.issued[-1].not_after + RETURN_PERIOD
    assert entry.is_live(end - timedelta(seconds=1))
    assert not entry.is_live(end)
    assert not replace(entry, revoked=NOW).is_live(NOW)


def test_a_call_is_written_down_now_and_then_and_a_new_phase_at_once(issuer):
    known = certificate(issuer, "a1")
    issuer.books.record_issue(known, now=NOW)
    before = issuer.books.path.stat().st_ino
    issuer.books.seen(known, now=NOW + timedelta(seconds=25))
    assert issuer.books.path.stat().st_ino == before
    issuer.books.seen(known, now=NOW + timedelta(seconds=50), phase=1)
    assert (issuer.books.member("a1").phase, issuer.books.member("a1").last_seen) == (1, NOW + timedelta(seconds=50))
    issuer.books.seen(known, now=NOW + timedelta(hours=1))
    assert (issuer.books.member("a1").phase, issuer.books.member("a1").last_seen) == (1, NOW + timedelta(hours=1))
    issuer.books.seen(certificate(issuer, "nobody"), now=NOW, phase=1)
    assert issuer.books.member("nobody") is None


def test_tokens_are_struck_out_a_day_after_their_end(issuer):
    issuer.books.add_token(token_entry("old"), now=NOW)
    issuer.books.add_token(token_entry("new", expires=NOW + 3 * DAY), now=NOW + 1.9 * DAY)
    assert set(issuer.books.read().tokens) == {"old", "new"}
    issuer.books.add_token(token_entry("newest", expires=NOW + 3 * DAY), now=NOW + 2 * DAY)
    assert set(issuer.books.read().tokens) == {"new", "newest"}


def test_a_change_that_fails_is_none(issuer):
    issuer.books.add_token(token_entry(), now=NOW)
    before = issuer.books.path.read_bytes()
    with pytest.raises(RuntimeError, match="half way"), issuer.books.change() as ledger:
        ledger.tokens.clear()
        raise RuntimeError("half way")
    assert issuer.books.path.read_bytes() == before


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"version": 2}', b'{"version": 1, "tokens": [{}]}', b"\xff\xfe"]
)
def test_damaged_books_are_refused_and_kept(issuer, damage):
    issuer.books.path.write_bytes(damage)
    with pytest.raises(StoreError, match=r"books\.json is damaged"):
        issuer.books.add_token(token_entry(), now=NOW)
    assert issuer.books.path.read_bytes() == damage


def test_books_are_kept_by_an_authority_only(tmp_path):
    with pytest.raises(NotProvisionedError, match="run this on the host where"):
        Books(Store(tmp_path / "none")).add_token(token_entry(), now=NOW)
    assert not (tmp_path / "none").exists()


def test_threads_take_turns(issuer):
    def add(worker):
        books = Books(issuer.store)
        for number in range(10):
            books.add_token(token_entry(f"{worker}-{number}"), now=NOW)

    threads = [threading.Thread(target=add, args=(worker,)) for worker in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(LONGEST_WAIT)
    assert len(issuer.books.read().tokens) == 40


PREPARE = """
from datetime import datetime, timedelta, UTC
from pathlib import Path
from fg_tls import Store
from fg_tls.issuing.books import Books
from fg_tls.issuing.book_entries import TokenEntry
from fg_tls.pki.names import Names
def add(path, name):
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    entry = TokenEntry(id=name, secret=b"s", role="member", names=Names(), expires=now + timedelta(days=1))
    Books(Store(Path(path))).add_token(entry, now=now)
"""


def test_processes_take_turns(issuer):
    script = f"{PREPARE}\nimport sys\nfor n in range(10): add(sys.argv[1], f'{{sys.argv[2]}}-{{n}}')"
    command = [sys.executable, "-c", script, str(issuer.store.directory)]
    processes = [subprocess.Popen([*command, str(worker)]) for worker in range(3)]
    assert [each.wait(LONGEST_WAIT) for each in processes] == [0, 0, 0]
    assert len(issuer.books.read().tokens) == 30


def test_killed_at_any_change_of_a_file_the_books_are_the_old_ones_or_the_new_ones(issuer):
    issuer.books.add_token(token_entry("first"), now=NOW)
    directory, seen = issuer.store.directory, set()
    for number in range(50):
        status = killed_at_change(number, directory, (PREPARE, "add(directory, sys.argv[3])"), f"n{number}")
        found = set(issuer.books.read().tokens)
        assert found - seen - {"first"} <= {f"n{number}"}
        seen = found
        if status == 0:
            break
    assert number >= 3, "it was never killed at the writes"
    assert f"n{number}" in seen
    issuer.books.add_token(token_entry("last"), now=NOW)  # and no lock was left behind
