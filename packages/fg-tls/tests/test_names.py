"""What names are, and that authorities are limited to them as OpenSSL and another verifier see it."""

import datetime
import ipaddress
import string
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, VerificationError
from cryptography.x509.verification import Store as TrustStore
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fg_tls import HostNameError, Names
from fg_tls.clock import SYSTEM
from fg_tls.pki.authority import Authority
from fg_tls.pki.names import Constraints, parse_names, private_constraints

GIVEN = parse_names(["muthur.example.com", "203.0.113.9", "2001:db8::9"])
AUTHORITY = Authority.create("Oracle", private_constraints(GIVEN), now=SYSTEM())
LEAF_KEY = ec.generate_private_key(ec.SECP256R1())


def signed(name: x509.GeneralName, authority: Authority = AUTHORITY) -> x509.Certificate:
    """A leaf with this name, whatever the authority may vouch for."""
    now = datetime.datetime.now(datetime.UTC)
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "member 1")]))
        .issuer_name(authority.certificate.x509.subject)
        .public_key(LEAF_KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(purposes, critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def openssl_accepts(leaf: x509.Certificate, directory, authority: Authority = AUTHORITY) -> bool:
    (directory / "ca.pem").write_bytes(authority.certificate.pem)
    (directory / "leaf.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
    command = ["openssl", "verify", "-CAfile", directory / "ca.pem", directory / "leaf.pem"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 or "permitted subtree violation" in done.stderr, done.stderr
    return done.returncode == 0


def verifier_accepts(leaf: x509.Certificate, name: x509.DNSName | x509.IPAddress) -> bool:
    verifier = PolicyBuilder().store(TrustStore([AUTHORITY.certificate.x509])).build_server_verifier(name)
    try:
        verifier.verify(leaf, [])
    except VerificationError:
        return False
    return True


labels = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
tails = st.sampled_from(
    ["local", "lan", "LAN", "home.arpa", "internal", "localhost", "muthur.example.com", "Example.COM", "arpa", "com"]
)
hostnames = st.builds(
    lambda front, joint, tail: f"{front}{joint}{tail}" if front else tail,
    st.one_of(st.just(""), labels, st.builds("{}.{}".format, labels, labels)),
    st.sampled_from([".", ""]),
    tails,
)
addresses = st.one_of(
    st.ip_addresses(),
    st.ip_addresses(network="172.0.0.0/8"),
    st.ip_addresses(network="100.0.0.0/8"),
    st.ip_addresses(network="203.0.113.8/30"),
    st.ip_addresses(network="fc00::/6"),
    st.ip_addresses(network="fe00::/8"),
    st.ip_addresses(network="::/126"),
    st.ip_addresses(network="::ffff:a00:0/104"),
)
unhurried = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@unhurried
@given(hostnames)
@example("xlocal")
@example("local")
@example("box.LOCAL")
@example("local.evil.com")
@example("notmuthur.example.com")
@example("a.muthur.example.com")
@example("example.com")
def test_a_host_name_is_permitted_exactly_when_openssl_and_the_verifier_say_so(tmp_path, hostname):
    name = x509.DNSName(hostname)
    leaf = signed(name)
    permitted = bool(AUTHORITY.constraints.permits(Names(hostnames=(hostname,))))
    assert (permitted, permitted) == (openssl_accepts(leaf, tmp_path), verifier_accepts(leaf, name))


@unhurried
@given(addresses)
@example(ipaddress.ip_address("::1"))
@example(ipaddress.ip_address("::2"))
@example(ipaddress.ip_address("::ffff:127.0.0.1"))
@example(ipaddress.ip_address("172.32.0.0"))
@example(ipaddress.ip_address("203.0.113.9"))
@example(ipaddress.ip_address("2001:db8::9"))
@example(ipaddress.ip_address("fe80::1"))
def test_an_address_is_permitted_exactly_when_openssl_and_the_verifier_say_so(tmp_path, address):
    name = x509.IPAddress(address)
    leaf = signed(name)
    permitted = bool(AUTHORITY.constraints.permits(Names(addresses=(address,))))
    assert (permitted, permitted) == (openssl_accepts(leaf, tmp_path), verifier_accepts(leaf, name))


@pytest.mark.parametrize("hostname", ["box.lan.", "lan.", ".lan", "*.lan", "*.com", "*.evil.lan.com"])
def test_names_that_no_host_may_have_are_judged_as_openssl_judges_them(tmp_path, hostname):
    permitted = bool(AUTHORITY.constraints.permits(Names(hostnames=(hostname,))))
    assert permitted == openssl_accepts(signed(x509.DNSName(hostname)), tmp_path)


def test_case_of_constraints_and_of_names_does_not_matter(tmp_path):
    authority = Authority.create(
        "Upper", Constraints(domains=("Example.ORG",), networks=(ipaddress.ip_network("10.0.0.0/8"),)), now=SYSTEM()
    )
    for hostname, expected in {"a.example.org": True, "EXAMPLE.org": True, "example.com": False}.items():
        assert bool(authority.constraints.permits(Names(hostnames=(hostname,)))) is expected
        assert openssl_accepts(signed(x509.DNSName(hostname), authority), tmp_path, authority) is expected


def test_private_constraints_take_in_what_is_given_and_nothing_twice():
    constraints = private_constraints(parse_names(["box.lan", "a.example.com", "example.com", "10.1.1.1", "8.8.8.8"]))
    assert constraints.domains == ("example.com", "home.arpa", "internal", "lan", "local", "localhost")
    assert [str(each) for each in constraints.networks if each.prefixlen == 32] == ["8.8.8.8/32"]


@given(st.lists(st.one_of(hostnames.map(str.lower), addresses.map(str)), max_size=6))
def test_names_are_read_as_they_are_written(texts):
    names = parse_names(texts)
    again = parse_names(str(names).split(", ")) if names else Names()
    assert (names | names, names | Names(), Names() | again) == (names | Names(),) * 2 + (names | Names(),)
    assert all(text in names for text in texts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a b",
        "-a",
        "a-",
        "a..b",
        ".a",
        "a.",
        "a_b",
        "*.lan",
        "http://a",
        "a:1",
        "x" * 64,
        "a." * 127 + "b",
        "a\n",
        "10.0.0.300",
        "1.2.3",
        "box.1",
        "1234",
        "\N{LATIN SMALL LETTER LONG S}.lan",
        "\N{KELVIN SIGN}.lan",
        "b\xfcro.lan",
    ],
)
def test_what_is_no_name_is_refused_with_an_example(text):
    with pytest.raises(HostNameError, match=r"neither a host name nor an address; write for example box\.lan"):
        parse_names([text])


def test_an_address_is_read_without_the_zone_that_only_one_host_knows():
    assert parse_names(["fe80::1%eth0"]) == parse_names(["fe80::1"])


def test_names_contain_what_a_url_asks_for():
    names = parse_names(["Box.LAN", "10.0.0.5", "::1"])
    assert all(host in names for host in ("box.lan", "BOX.lan", "10.0.0.5", "[::1]", "::1", "0:0:0:0:0:0:0:1"))
    assert not any(host in names for host in ("box", "xbox.lan", "10.0.0.50", "::2", "box.lan.", ""))
