"""Who is asked for the revocation list is not verified: only the signature of the list counts."""

import json

import pytest

from fg_tls import Store
from fg_tls.clock import SYSTEM
from fg_tls.host.founding import init
from fg_tls.membership.own_revocation import is_revoked
from fg_tls.pki import revocation

from .impostor import impostor


@pytest.fixture
def stores(tmp_path):
    """Ours, and one of strangers who call their authority the same."""
    found = Store(tmp_path / "ours"), Store(tmp_path / "theirs")
    for each in found:
        init(each, name="Home")
    return found


def asked_with(store, revoked):
    """Whether `store` believes that it is revoked, when `revoked` is the answer of whoever is asked."""
    answers = {"/v1/ca": (200, json.dumps({"revoked": revoked}).encode())}
    with impostor(store.identity_path, answers) as found:
        store.save_settings(issuers=[f"https://{found.endpoint}"])
        revoked = is_revoked(store, SYSTEM)
        assert found.paths == ["/v1/ca"]
    return revoked


def list_of(signer, store):
    serial = store.identity().certificate.serial
    return revocation.sign(signer.authority(), {serial: SYSTEM()}, number=1, now=SYSTEM()).decode()


def test_the_list_of_our_authority_is_believed_whoever_brings_it(stores):
    ours, _ = stores
    assert asked_with(ours, list_of(ours, ours))


def test_the_list_of_another_authority_is_not(stores):
    ours, theirs = stores
    assert not asked_with(ours, list_of(theirs, ours))
    assert not ours.revoked_path.exists()


@pytest.mark.parametrize("revoked", [None, 7, [], {}, "", "no list", "\ud800", "é", "-----BEGIN X509 CRL-----"])
def test_what_is_no_list_is_passed_over(stores, revoked):
    ours, _ = stores
    assert not asked_with(ours, revoked)
    assert not ours.revoked_path.exists()
