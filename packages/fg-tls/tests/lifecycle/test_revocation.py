"""The list of refused certificates: who may sign it, which one counts, and how fast it is known everywhere."""

import subprocess
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg_tls import JoinError, NotProvisionedError, StoreError
from fg_tls.issuing.revoking import publish, revoke
from fg_tls.membership.keeper import Keeper
from fg_tls.membership.renewal import renew
from fg_tls.pki import revocation
from fg_tls.pki.authority import Authority
from fg_tls.pki.names import Names, private_constraints

from .household import LONGEST_WAIT, START, Host, Household, member_id, talk

AUTHORITY = Authority.create("test", private_constraints(), now=START)
SAME_NAME = Authority.create("test", private_constraints(), now=START)
SERIALS = st.frozensets(st.integers(1, 2**159 - 1), max_size=20)


@given(SERIALS, st.integers(1, 2**60))
def test_what_was_signed_is_read(serials, number):
    data = revocation.sign(AUTHORITY, dict.fromkeys(serials, START), number=number, now=START)
    found = revocation.verify(data, [SAME_NAME.certificate, AUTHORITY.certificate], "a list")
    assert (found.number, found.serials) == (number, serials)


def test_a_list_by_an_authority_of_the_same_name_is_refused():
    data = revocation.sign(SAME_NAME, {}, number=1, now=START)
    with pytest.raises(StoreError, match="no authority of this cluster has signed a list"):
        revocation.verify(data, [AUTHORITY.certificate], "a list")


def test_a_list_that_was_cut_off_is_refused():
    data = revocation.sign(AUTHORITY, {}, number=1, now=START)
    with pytest.raises(StoreError, match="is no revocation list"):
        revocation.verify(data[:-60], [AUTHORITY.certificate], "a list")


def test_openssl_refuses_what_is_listed_and_nothing_else(household, tmp_path, clock):
    for name in ("a", "b"):
        (tmp_path / f"{name}.crt").write_bytes(household.member(name).identity().certificate.pem)
    revoke(household.store, "a", clock)
    outcomes = [
        subprocess.run(
            [
                *("openssl", "verify", "-crl_check", "-attime", str(int(clock().timestamp()))),
                *("-CAfile", household.store.trust_path, "-CRLfile", household.store.revoked_path),
                tmp_path / f"{name}.crt",
            ],
            capture_output=True,
            text=True,
            timeout=LONGEST_WAIT,
            check=False,
        )
        for name in ("a", "b")
    ]
    assert [each.returncode for each in outcomes] == [2, 0]
    assert "certificate revoked" in outcomes[0].stderr


def test_an_older_list_never_takes_the_place_of_a_newer_one(household, clock):
    store = household.member("a")
    lists = [revocation.sign(household.store.authority(), {n: START}, number=n, now=START) for n in (1, 2, 3)]
    taken = [revocation.take(store, lists[n], "the issuer's list") for n in (1, 0, 1, 2, 0)]
    assert taken == [True, False, False, True, False]
    assert revocation.read(store).number == 3


def test_a_forged_list_is_not_taken_and_the_good_one_stays(household, tmp_path, clock):
    store = household.member("a")
    revocation.take(store, revocation.sign(household.store.authority(), {7: START}, number=1, now=START), "a list")
    forged = revocation.sign(Household(tmp_path / "other", clock).store.authority(), {}, number=9, now=START)
    with pytest.raises(StoreError, match="no authority of this cluster"):
        revocation.take(store, forged, "a list")
    assert revocation.read(store).serials == {7}


def test_a_running_host_keeps_the_list_it_has_when_the_file_is_forged(household, tmp_path, clock):
    a, b = Host(household.member("a"), clock), Host(household.member("b"), clock)
    revoke(household.store, "b", clock)
    a.store.write("revoked.crl", household.store.revoked_path.read_bytes())
    assert talk(b, a) == "refused by the guard"
    forged = revocation.sign(Household(tmp_path / "other", clock).store.authority(), {}, number=9, now=START)
    a.store.write("revoked.crl", forged)
    assert talk(b, a) == "refused by the guard"


@pytest.mark.parametrize("called", ["id", "host", "name", "serial", "colons"])
def test_a_member_is_found_under_everything_it_is_called(household, clock, called):
    leaf = household.member("a").identity().certificate
    digits = f"{leaf.serial:040x}"
    who = {
        "id": member_id("a"),
        "host": "a",
        "name": "A.lan",
        "serial": digits.upper(),
        "colons": ":".join(digits[n : n + 2] for n in range(0, 40, 2)),
    }[called]
    done = revoke(household.store, who, clock)
    assert (done.member, done.certificates) == (member_id("a"), 1)
    assert revocation.read(household.store).serials == {leaf.serial}


def test_every_certificate_that_still_holds_is_listed_until_it_runs_out(household, clock):
    with household.issuing():
        store = household.member("a")
        first = store.identity().certificate
        clock.forward(days=21)
        second = renew(store, clock, names=Names()).certificate
    revoke(household.store, "a", clock)
    for days in (0, 9):  # the first one runs out to the second; other clocks may be behind ours
        clock.forward(days=days)
        publish(household.store, household.issuer.books, clock)
        assert revocation.read(household.store).serials == {first.serial, second.serial}
    clock.forward(days=1)
    publish(household.store, household.issuer.books, clock)
    assert revocation.read(household.store).serials == {second.serial}


@pytest.mark.parametrize("who", ["nobody", "localhost", "127.0.0.1"])
def test_nobody_is_revoked_by_a_name_that_names_nobody(household, clock, who):
    household.member("a")
    with pytest.raises(JoinError, match=f"no member is called '{who}'; the members are"):
        revoke(household.store, who, clock)


def test_the_host_of_the_authority_cannot_revoke_itself(household, clock):
    with pytest.raises(JoinError, match="rotate-ca --compromised"):
        revoke(household.store, "authority", clock)


def test_only_the_host_of_the_authority_revokes(household, clock):
    with pytest.raises(NotProvisionedError, match="no authority"):
        revoke(household.member("a"), "a", clock)


def test_a_crash_between_books_and_list_is_made_good(household, clock):
    leaf = household.member("a").identity().certificate
    household.issuer.books.revoke(member_id("a"), now=clock())  # and then the power failed
    assert revocation.read(household.store).serials == set()
    Keeper(household.store, clock).round()
    assert revocation.read(household.store).serials == {leaf.serial}


def test_other_hosts_learn_of_it_while_they_wait(running, clock):
    """The question of another host is under way when the member is revoked; the answer comes at once."""
    a, b = Host(running.member("a"), clock), Host(running.member("b"), clock)
    keeper = Keeper(a.store, clock)
    keeper.round()
    assert talk(b, a) is None
    waiting = threading.Thread(target=keeper.round)
    waiting.start()
    revoke(running.store, "b", clock)
    waiting.join(LONGEST_WAIT)
    assert not waiting.is_alive()
    assert talk(b, a) == "refused by the guard"
    assert "revoked" in talk(a, b)


def test_a_member_that_was_revoked_hears_that_it_may_be(running, clock):
    member = running.member("a")
    keeper = Keeper(member, clock, poll=0)
    keeper.round()
    revoke(running.store, "a", clock)
    with pytest.raises(JoinError, match=r"does not count the certificate of this host: it may be revoked"):
        keeper.round()
