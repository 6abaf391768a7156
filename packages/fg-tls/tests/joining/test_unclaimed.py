"""A host whose answer was lost has a place in the books, and must not be in its own way when it asks again."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from fg_tls import JoinError, Store
from fg_tls.issuing.book_entries import CLAIM_PERIOD
from fg_tls.issuing.issuer import Issuer
from fg_tls.membership.joining import join
from fg_tls.pki import revocation
from fg_tls.pki.certificates import read_pem
from fg_tls.pki.names import parse_names

from .hosts import join_request, new_issuer, served

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Later:
    """A clock that is as far ahead as it is told."""

    def __init__(self):
        self.ahead = timedelta()

    def __call__(self):
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock():
    return Later()


@pytest.fixture
def issuer(tmp_path, clock):
    return Issuer(new_issuer(tmp_path / "muthur").store, clock)


def joined(issuer, name="wopr.lan"):
    token = issuer.create_token(endpoints=["192.168.7.1:8767"])
    _, answer = issuer.join(join_request(token, [name]))
    return read_pem(answer["certificate"].encode(), "the answer")[0]


def test_it_may_ask_again_and_what_was_lost_is_revoked(issuer, clock, caplog):
    lost = joined(issuer)
    clock.ahead = CLAIM_PERIOD + timedelta(seconds=1)
    again = joined(issuer)
    assert "wopr.lan" in again.names.hostnames
    assert issuer.books.member(lost.member.id).revoked is not None
    assert revocation.read(issuer.store).serials == {lost.serial}
    assert f"member {lost.member.id} ('wopr') joined on" in caplog.text
    assert f"is revoked: member {again.member.id} has joined under its name" in caplog.text


def test_two_fresh_machines_of_one_name_are_told_apart(issuer):
    first = joined(issuer)
    with pytest.raises(JoinError, match=f"the name wopr.lan belongs to member {first.member.id}"):
        joined(issuer)
    assert issuer.books.member(first.member.id).revoked is None


def test_who_has_another_name_is_left_alone(issuer, clock):
    first = joined(issuer)
    clock.ahead = CLAIM_PERIOD + timedelta(seconds=1)
    joined(issuer, "joshua.lan")
    assert issuer.books.member(first.member.id).revoked is None


def test_a_refused_request_ends_nobody(issuer, clock):
    lost = joined(issuer)
    clock.ahead = CLAIM_PERIOD + timedelta(seconds=1)
    token = issuer.create_token(endpoints=["192.168.7.1:8767"])
    with pytest.raises(JoinError, match=r"muthur\.lan belongs to"):
        issuer.join(join_request(token, ["wopr.lan", "muthur.lan"]))
    assert issuer.books.member(lost.member.id).revoked is None


@pytest.mark.parametrize("until_used", [False, True], ids=["serving", "until the token is used"])
def test_whoever_has_its_answer_keeps_its_name(issuer, clock, tmp_path, until_used):
    """Also where the issuer ends as soon as the token is used: it waits for that call."""
    token = issuer.create_token(endpoints=["127.0.0.1:8767"])
    with served(issuer.store, until=token if until_used else None) as running:
        here = type(token)(id=token.id, secret=token.secret, authority=token.authority, endpoints=(running.endpoint,))
        certificate = join(Store(tmp_path / "wopr"), here, names=parse_names(["wopr.lan"])).certificate
        if until_used:
            running.wait()
    assert issuer.books.member(certificate.member.id).shown == certificate.serial
    clock.ahead = timedelta(days=2)
    with pytest.raises(JoinError, match=r"the name wopr\.lan belongs to member"):
        joined(issuer)


def test_members_of_books_that_do_not_say_who_has_called_keep_their_names(issuer, clock):
    first, path = joined(issuer), issuer.books.path
    data = json.loads(path.read_bytes())
    for each in data["members"]:
        del each["shown"]
    path.write_text(json.dumps(data))
    clock.ahead = CLAIM_PERIOD + timedelta(seconds=1)
    with pytest.raises(JoinError, match=f"the name wopr.lan belongs to member {first.member.id}"):
        joined(issuer)
    assert issuer.books.member(first.member.id).revoked is None
