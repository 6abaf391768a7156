"""Which successor of an authority a host follows by itself."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from fg_tls.clock import SYSTEM
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import of_x509
from fg_tls.pki.names import parse_names, private_constraints
from fg_tls.pki.succession import Succession, followed


def authority(*names, cluster="c1"):
    return Authority.create("Household", private_constraints(parse_names(names)), now=SYSTEM(), cluster=cluster)


def unlimited(like):
    """The authority `like`, with its key and without name constraints."""
    found = like.certificate.x509
    builder = x509.CertificateBuilder().subject_name(found.subject).issuer_name(found.issuer)
    builder = builder.public_key(found.public_key()).serial_number(found.serial_number)
    builder = builder.not_valid_before(found.not_valid_before_utc).not_valid_after(found.not_valid_after_utc)
    for each in found.extensions:
        if not isinstance(each.value, x509.NameConstraints):
            builder = builder.add_extension(each.value, critical=each.critical)
    return Authority(certificate=of_x509(builder.sign(like.key, hashes.SHA256())), key=like.key)


def test_a_successor_is_followed_when_its_trusted_predecessor_has_signed_it():
    old, new, stranger = authority(), authority(), authority()
    statement = Succession.sign(old, new.certificate)
    assert followed((old.certificate,), [statement]) == (new.certificate, old.certificate)
    assert followed((stranger.certificate,), [statement]) == (stranger.certificate,)
    forged = Succession(predecessor=old.certificate, successor=stranger.certificate, signature=statement.signature)
    assert followed((old.certificate,), [forged]) == (old.certificate,)


def test_a_successor_with_other_limits_or_of_another_cluster_is_not_followed():
    old = authority()
    for new in (authority("bank.com"), unlimited(authority()), authority(cluster="c2")):
        assert not Succession.sign(old, new.certificate).holds([old.certificate])


def test_an_authority_without_limits_has_no_successor_that_is_followed():
    old = unlimited(authority())
    assert not Succession.sign(old, authority().certificate).holds([old.certificate])
