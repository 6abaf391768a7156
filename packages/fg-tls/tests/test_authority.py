"""What an authority signs, and what it does not."""

from datetime import timedelta

import pytest

from fg_tls import CertificateError
from fg_tls.clock import SYSTEM
from fg_tls.pki.authority import AUTHORITY_LIFETIME, Authority
from fg_tls.pki.certificates import Member
from fg_tls.pki.keys import new_key
from fg_tls.pki.names import parse_names, private_constraints

NOW = SYSTEM().replace(microsecond=0)


@pytest.fixture(scope="module")
def authority():
    return Authority.create("Household", private_constraints(parse_names(["example.com"])), now=NOW)


def issued(authority, *names, now=NOW, **options):
    member = Member(cluster=authority.cluster, role="member", id="1f2e")
    return authority.issue(new_key().public_key(), member=member, names=parse_names(names), now=now, **options)


def test_names_within_the_limits_are_signed(authority):
    names = ("box.lan", "www.example.com", "192.168.1.2", "fe80::1", "::1", "localhost")
    certificate = issued(authority, *names)
    assert certificate.names == parse_names(names)
    assert certificate.issued_by(authority.certificate)


def test_names_outside_the_limits_are_named_and_nothing_is_signed(authority):
    with pytest.raises(CertificateError) as caught:
        issued(authority, "box.lan", "bank.com", "8.8.8.8", "10.0.0.1")
    assert "'Household' may not vouch for bank.com, 8.8.8.8;" in str(caught.value)
    assert "box.lan" not in str(caught.value)


def test_a_leaf_does_not_outlive_its_authority(authority):
    late = NOW + AUTHORITY_LIFETIME - timedelta(days=3)
    assert issued(authority, "box.lan", now=late).not_after == authority.certificate.not_after
    assert issued(authority, "box.lan", lifetime=timedelta(hours=1)).not_after == NOW + timedelta(hours=1)


def test_the_cluster_stays_when_an_authority_follows_another(authority):
    successor = Authority.create("Household 2", authority.constraints, now=NOW, cluster=authority.cluster)
    assert successor.cluster == authority.cluster
    assert successor.constraints == authority.constraints
    assert successor.certificate.key_hash != authority.certificate.key_hash
    assert Authority.create("Other", authority.constraints, now=NOW).cluster != authority.cluster


def test_serial_numbers_do_not_repeat(authority):
    assert len({issued(authority, "box.lan").serial for _ in range(50)}) == 50


def test_an_authority_survives_its_file_and_a_damaged_file_says_so(authority):
    again = Authority.from_pem(authority.pem(), "authority.pem")
    assert (again.certificate, again.cluster) == (authority.certificate, authority.cluster)
    for cut in (0, 100, len(authority.pem()) - 400):
        with pytest.raises(CertificateError, match=r"^authority\.pem holds no readable"):
            Authority.from_pem(authority.pem()[:cut], "authority.pem")
