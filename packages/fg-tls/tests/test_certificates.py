"""What certificates say, compared with what OpenSSL reads in them."""

import ipaddress
import subprocess
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from fg_tls import CertificateError
from fg_tls.clock import SYSTEM
from fg_tls.pki.authority import LEAF_LIFETIME, Authority
from fg_tls.pki.certificates import Member, key_hash, read_der, read_pem
from fg_tls.pki.checks import check_authority, check_served
from fg_tls.pki.keys import key_pem, new_key, read_key, read_pair
from fg_tls.pki.names import parse_names, private_constraints

NOW = SYSTEM().replace(microsecond=0)
NAMES = parse_names(["box.lan", "10.0.0.5", "fd00::5"])


@pytest.fixture(scope="module")
def authority():
    return Authority.create("Household", private_constraints(), now=NOW)


@pytest.fixture(scope="module")
def key():
    return new_key()


@pytest.fixture(scope="module")
def leaf(authority, key):
    member = Member(cluster=authority.cluster, role="submitter", id="1f2e")
    return authority.issue(key.public_key(), member=member, names=NAMES, now=NOW)


def openssl_text(certificate) -> str:
    command = ["openssl", "x509", "-noout", "-text", "-nameopt", "RFC2253"]
    done = subprocess.run(command, input=certificate.pem, capture_output=True, timeout=60, check=True)
    return " ".join(done.stdout.decode().split())


def test_openssl_reads_the_profile_of_a_leaf(leaf, authority):
    text = openssl_text(leaf)
    for expected in (
        "Version: 3 (0x2)",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Issuer: CN=Household",
        "Subject: CN=submitter 1f2e",
        "NIST CURVE: P-256",
        "X509v3 Basic Constraints: critical CA:FALSE",
        "X509v3 Key Usage: critical Digital Signature X509v3",
        "X509v3 Extended Key Usage: TLS Web Server Authentication, TLS Web Client Authentication",
        "DNS:box.lan, IP Address:10.0.0.5, IP Address:FD00:0:0:0:0:0:0:5, "
        f"URI:spiffe://fg.internal/cluster/{authority.cluster}/submitter/1f2e",
    ):
        assert expected in text
    # 5 minutes in the past for clocks that are behind, 30 days ahead.
    assert (leaf.not_before, leaf.not_after) == (NOW - timedelta(minutes=5), NOW + timedelta(days=30))


def test_openssl_reads_the_profile_of_an_authority(authority):
    text = openssl_text(authority.certificate)
    for expected in (
        "X509v3 Basic Constraints: critical CA:TRUE, pathlen:0",
        "X509v3 Key Usage: critical Digital Signature, Certificate Sign, CRL Sign",
        "X509v3 Name Constraints: critical Permitted:",
        "DNS:home.arpa DNS:internal DNS:lan DNS:local DNS:localhost",
        "IP:10.0.0.0/255.0.0.0",
        f"URI:spiffe://fg.internal/cluster/{authority.cluster}",
    ):
        assert expected in text
    assert "URI:" not in text.split("Name Constraints")[1].split("X509v3")[0]
    assert authority.certificate.not_after - NOW == timedelta(days=3650)


def test_a_certificate_is_the_same_after_pem_and_der(leaf, authority):
    assert read_pem(leaf.pem + authority.certificate.pem, "x") == [leaf, authority.certificate]
    assert read_der(leaf.der) == leaf
    assert (leaf.member, leaf.names) == (Member(cluster=authority.cluster, role="submitter", id="1f2e"), NAMES)
    assert (leaf.is_authority, leaf.for_servers, leaf.for_clients, leaf.is_constrained) == (False, True, True, False)


def test_fingerprint_and_key_hash_are_those_of_openssl(leaf, key):
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256"]
    done = subprocess.run(command, input=leaf.pem, capture_output=True, timeout=60, check=True)
    assert done.stdout.decode().split("=")[1].strip().replace(":", "").lower() == leaf.fingerprint
    public = subprocess.run(
        ["openssl", "pkey", "-pubout", "-outform", "DER"],
        input=key_pem(key),
        capture_output=True,
        timeout=60,
        check=True,
    )
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=public.stdout, capture_output=True, check=True)
    assert digest.stdout.split()[0].decode() == leaf.key_hash == key_hash(key.public_key())


def test_only_the_key_of_the_authority_makes_a_certificate_its_own(leaf, authority):
    namesake = Authority.create("Household", private_constraints(), now=NOW)
    assert leaf.issued_by(authority.certificate)
    assert not leaf.issued_by(namesake.certificate)
    assert not leaf.issued_by(leaf)
    assert authority.certificate.issued_by(authority.certificate)


def test_the_constraints_of_an_authority_are_read_from_its_certificate(authority, leaf):
    assert authority.certificate.constraints == private_constraints()
    assert leaf.constraints is None


@pytest.mark.parametrize("data", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused_by_its_file(data):
    with pytest.raises(CertificateError, match=r"^some\.pem holds no readable PEM certificate"):
        read_pem(data, "some.pem")
    with pytest.raises(CertificateError, match="bytes from a peer are no certificate"):
        read_der(data)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["ED25519"], "neither an elliptic-curve key nor RSA"),
        (["RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "neither an elliptic-curve key nor RSA"),
        (["EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes256", "-pass", "pass:x"], "without a passphrase"),
    ],
)
def test_keys_of_other_kinds_are_refused(options, reason):
    made = subprocess.run(["openssl", "genpkey", "-algorithm", *options], capture_output=True, timeout=60, check=True)
    with pytest.raises(CertificateError, match=reason):
        read_key(made.stdout, "some.pem")


def test_key_and_certificate_must_belong_together(leaf, key, authority):
    assert read_pair(key_pem(key) + leaf.pem, "x")[1] == [leaf]
    with pytest.raises(CertificateError, match="does not belong to its certificate"):
        read_pair(key_pem(new_key()) + leaf.pem, "x")
    with pytest.raises(CertificateError, match="not the certificate of an authority"):
        Authority.from_pem(key_pem(key) + leaf.pem, "x")
    assert Authority.from_pem(authority.pem(), "x").certificate == authority.certificate


def test_chains_are_refused_for_one_reason_each(leaf, authority):
    trusted = [authority.certificate]
    check_served([leaf], trusted, "x", NOW)
    check_served([leaf, authority.certificate], trusted, "x", NOW)
    other = Authority.create("Other", private_constraints(), now=NOW)
    for chain, among, now, reason in (
        ([authority.certificate], trusted, NOW, "begins with the authority 'Household'"),
        ([leaf], trusted, NOW + LEAF_LIFETIME * 2, "ran out on .* by the clock of this host"),
        ([leaf], trusted, NOW - LEAF_LIFETIME, "holds from"),
        ([leaf], [other.certificate], NOW, "was issued by 'Household', and not by 'Other'"),
        ([leaf, other.certificate], trusted, NOW, "'Other' follows 'submitter 1f2e' and has not issued it"),
    ):
        with pytest.raises(CertificateError, match=reason):
            check_served(chain, among, "x", now)
    with pytest.raises(CertificateError, match="take that of 'Household', which has issued it"):
        check_authority(leaf, "x", NOW)


def made_by_openssl(directory, *options):
    """A self-signed certificate with a key and fields that ours never have."""
    words = ["openssl", "req", "-x509", "-nodes", "-days", "9", "-keyout", directory / "k.pem", "-out", "-", *options]
    return subprocess.run(words, check=True, capture_output=True, timeout=60).stdout


def test_a_key_of_a_kind_that_is_not_known_here_is_one_sentence(tmp_path):
    pem = made_by_openssl(tmp_path, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp160r1", "-subj", "/CN=x")
    with pytest.raises(CertificateError, match=r"old\.pem holds no readable PEM certificate"):
        read_pem(pem, "old.pem")
    der = subprocess.run(
        ["openssl", "x509", "-outform", "DER"], input=pem, check=True, capture_output=True, timeout=60
    ).stdout
    with pytest.raises(CertificateError, match="are no certificate that can be read here"):
        read_der(der)


def test_what_a_certificate_says_cannot_move_the_cursor_of_a_terminal(tmp_path):
    escape = "\x1b[2J\r\nsha256  ab"
    subject = ("-subj", f"/CN=box{escape}", "-addext", f"subjectAltName=DNS:box{escape[:4]}")
    (found,) = read_pem(made_by_openssl(tmp_path, "-newkey", "rsa:2048", *subject), "x.pem")
    assert (found.common_name, found.issuer) == ("box\ufffd[2J\ufffd\ufffdsha256  ab",) * 2
    assert found.names.hostnames == ("box\ufffd[2j",)
    subject = ("-subj", "/O=box\x1b[2J")
    (found,) = read_pem(made_by_openssl(tmp_path, "-newkey", "rsa:2048", *subject), "x.pem")
    assert found.common_name == "O=box\ufffd[2J"


DOMAIN, NETWORK = x509.DNSName("lan"), x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))


@pytest.mark.parametrize(
    ("permitted", "constrained"),
    [
        ([DOMAIN, NETWORK], True),
        ([DOMAIN], False),
        ([NETWORK], False),
        ([x509.RFC822Name("example.org")], False),
        ([DOMAIN, x509.DNSName(""), NETWORK], False),
        ([DOMAIN, NETWORK, x509.IPAddress(ipaddress.ip_network("::/0"))], False),
    ],
)
def test_an_authority_is_constrained_when_names_and_addresses_are(authority, permitted, constrained):
    now = SYSTEM()
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([]))
    builder = builder.public_key(authority.key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.NameConstraints(permitted, [x509.DNSName("example.org")]), critical=True)
    pem = builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM)
    assert read_pem(pem, "x.pem")[0].is_constrained is constrained
