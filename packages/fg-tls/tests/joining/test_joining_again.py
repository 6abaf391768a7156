"""A host that joins its own cluster again: the old membership must neither keep its names nor be waited for."""

from dataclasses import replace

import pytest

from fg_tls import JoinError, Store
from fg_tls.host.store import Identity
from fg_tls.issuing.join_messages import JoinRequest
from fg_tls.issuing.leaving import with_proof
from fg_tls.issuing.rotation import rotate
from fg_tls.membership.joining import join
from fg_tls.pki import keys, revocation
from fg_tls.pki.names import parse_names
from fg_tls.pki.signing_requests import signing_request

from .hosts import join_request

NAMES = parse_names(["wopr.lan"])


@pytest.fixture
def wopr(tmp_path):
    return Store(tmp_path / "wopr" / "tls")


@pytest.fixture
def token(issuer, running):
    """Makes join tokens."""
    return lambda: issuer.create_token(endpoints=[running.endpoint])


def test_it_ends_its_old_membership(issuer, token, wopr):
    old = join(wopr, token(), names=NAMES).certificate
    new = join(wopr, token(), names=NAMES, force=True).certificate
    assert "wopr.lan" in new.names.hostnames and new.member != old.member
    assert [each.id for each in issuer.books.members() if each.revoked is not None] == [old.member.id]
    assert revocation.read(wopr).serials == {old.serial}
    waited_for = rotate(issuer.store).waiting
    assert len(waited_for) == 1 and new.member.id in waited_for[0]


def test_one_whose_files_are_damaged_joins_like_a_new_host(issuer, token, wopr):
    old = join(wopr, token(), names=NAMES).certificate
    wopr.identity_path.write_text("nothing")
    join(wopr, token(), names=parse_names(["wopr2.lan"]), force=True)
    assert issuer.books.member(old.member.id).revoked is None


def test_only_who_has_the_key_ends_a_membership(issuer, token, wopr):
    """The certificate of a host is no secret."""
    old = join(wopr, token(), names=NAMES).certificate
    pretender = Identity(key=keys.new_key(), chain=(old,))
    with pytest.raises(JoinError, match=r"the name wopr\.lan belongs to member"):
        issuer.join(join_request(token(), old=pretender))
    assert issuer.books.member(old.member.id).revoked is None


def test_a_proof_counts_for_one_token(issuer, token, wopr):
    old, first, second = join(wopr, token(), names=NAMES), token(), token()
    request = JoinRequest(
        token_id=first.id,
        authority=first.authority,
        csr=signing_request(keys.new_key()),
        names=("wopr.lan",),
        hostname="wopr",
    )
    played_back = replace(with_proof(request, old), token_id=second.id)
    with pytest.raises(JoinError, match=r"the name wopr\.lan belongs to member"):
        issuer.join(played_back.to_json(second.secret))
    issuer.join(with_proof(request, old).to_json(first.secret))
    assert issuer.books.member(old.certificate.member.id).revoked is not None


def test_the_host_of_the_authority_does_not_leave(issuer, token):
    own = issuer.store.identity()
    issuer.join(join_request(token(), old=own))
    assert issuer.books.member(own.certificate.member.id).revoked is None
