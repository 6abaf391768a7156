"""Who gets through the handshake: every kind of certificate, decided by OpenSSL as our contexts tell it to."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fg_tls.clock import SYSTEM
from fg_tls.errors import CertificateError, PeerError
from fg_tls.listener.peers import Peers
from fg_tls.pki import keys
from fg_tls.pki.certificates import read_der, read_pem
from fg_tls.pki.contexts import Material, check_server, client_context, server_context
from fg_tls.pki.names import Names
from fg_tls.pki.revocation import Revoked

from .listeners import LOCAL, Held, handshake, identity_file, material, new_authority


@pytest.fixture
def authority():
    return new_authority()


@pytest.fixture
def source(tmp_path, authority):
    return Held(material(tmp_path / "server.pem", authority))


def self_made(path, *, subject, issuer, signed_by, usage, authority_flag=False):
    """A certificate with fields that an authority of ours would not sign."""
    key = keys.new_key()
    name = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (subject, issuer)]
    builder = x509.CertificateBuilder().subject_name(name[0]).issuer_name(name[1]).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(SYSTEM() - timedelta(hours=1))
    builder = builder.not_valid_after(SYSTEM() + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=authority_flag, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    path.write_bytes(keys.key_pem(key) + keys_pem(builder.sign(signed_by or key, hashes.SHA256())))
    return path


def keys_pem(certificate):
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def shown(source, client):
    """What the server knows of the client after the handshake."""
    _, server = handshake(server_context(source), client_context(client))
    return server.getpeercert(binary_form=True)


def test_tls_is_1_3_speaks_http_1_1_and_resumes_nothing(source):
    client, server = handshake(server_context(source), client_context(source.now))
    assert (client.version(), server.version()) == ("TLSv1.3", "TLSv1.3")
    assert (client.selected_alpn_protocol(), server.selected_alpn_protocol()) == ("http/1.1", "http/1.1")
    server.write(b"tickets come before this")
    assert client.read(100) == b"tickets come before this"
    assert not client.session.has_ticket


def test_tls_1_2_is_refused_on_both_sides(source):
    old = client_context(source.now)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"UNSUPPORTED_PROTOCOL|ALERT_PROTOCOL_VERSION"):
        handshake(server_context(source), old)
    old = server_context(source)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"UNSUPPORTED_PROTOCOL|ALERT_PROTOCOL_VERSION"):
        handshake(old, client_context(source.now))


def test_a_client_without_a_certificate_gets_in_as_nobody(source):
    assert shown(source, Material(authorities=source.now.authorities)) is None


def test_a_client_with_ours_is_known_by_it(source, tmp_path, authority):
    der = shown(source, material(tmp_path / "client.pem", authority, role="submitter"))
    assert (read_der(der).member.role, read_der(der).member.cluster) == ("submitter", authority.cluster)


def test_a_client_whose_certificate_does_not_count_is_refused(source, tmp_path, authority):
    def certificate(name, **fields):
        given = {"subject": "x", "issuer": authority.certificate.common_name, "signed_by": authority.key}
        given |= {"usage": ExtendedKeyUsageOID.CLIENT_AUTH} | fields
        return self_made(tmp_path / name, **given)

    files = {
        "CERTIFICATE_VERIFY_FAILED.*expired": identity_file(
            tmp_path / "a", authority, now=SYSTEM() - timedelta(days=31)
        ),
        "CERTIFICATE_VERIFY_FAILED.*not yet valid": identity_file(
            tmp_path / "b", authority, now=SYSTEM() + timedelta(days=1)
        ),
        "CERTIFICATE_VERIFY_FAILED.*unable to get local issuer": identity_file(tmp_path / "c", new_authority("other")),
        "CERTIFICATE_VERIFY_FAILED.*": identity_file(tmp_path / "d", new_authority("home")),  # the same name
        "CERTIFICATE_VERIFY_FAILED.*unsuitable certificate purpose": certificate(
            "e", usage=ExtendedKeyUsageOID.SERVER_AUTH
        ),
        "CERTIFICATE_VERIFY_FAILED.*self-signed": certificate("f", subject="x", issuer="x", signed_by=None),
    }
    for reason, path in files.items():
        client = Material(certificate_file=path, authorities=source.now.authorities)
        with pytest.raises(ssl.SSLCertVerificationError, match=reason):
            shown(source, client)


def test_a_name_outside_the_constraints_is_refused_on_both_sides(source, tmp_path, authority):
    name = x509.SubjectAlternativeName([x509.DNSName("bank.example")])
    key = keys.new_key()
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(authority.certificate.x509.subject)
    builder = builder.public_key(key.public_key()).serial_number(9).add_extension(name, critical=True)
    builder = builder.not_valid_before(SYSTEM() - timedelta(hours=1)).not_valid_after(SYSTEM() + timedelta(days=1))
    path = tmp_path / "bank.pem"
    path.write_bytes(keys.key_pem(key) + keys_pem(builder.sign(authority.key, hashes.SHA256())))
    outside = Material(certificate_file=path, authorities=source.now.authorities)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shown(source, outside)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(server_context(Held(outside)), client_context(source.now), name="bank.example")


def test_the_certificate_of_the_authority_itself_is_nobodys(source, tmp_path, authority):
    path = tmp_path / "authority.pem"
    path.write_bytes(authority.pem())
    der = shown(source, Material(certificate_file=path, authorities=source.now.authorities))
    assert Peers(source).peer(der) is None


def test_a_server_under_another_name_is_refused(source):
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(server_context(source), client_context(source.now), name="elsewhere.lan")
    client, _ = handshake(server_context(source), client_context(source.now), name="127.0.0.1")
    assert LOCAL.hostnames[0] in read_der(client.getpeercert(binary_form=True)).names


def test_a_clock_of_ones_own_decides_on_dates_instead_of_openssl(tmp_path, authority):
    then = datetime(2031, 1, 1, tzinfo=UTC)
    future = Held(material(tmp_path / "future.pem", authority, now=then))
    with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):
        handshake(server_context(future), client_context(future.now))
    server, client = server_context(future, clock=lambda: then), client_context(future.now, clock=lambda: then)
    connection, _ = handshake(server, client)
    leaf = read_der(connection.getpeercert(binary_form=True))
    check_server(leaf, future.now, then)
    with pytest.raises(
        PeerError, match=r"of localhost, 127.0.0.1 is valid from 2030-12-31 23:55 UTC, and here it is 20"
    ):
        check_server(leaf, future.now, SYSTEM())
    with pytest.raises(PeerError, match=r"ran out on 2031-01-31 00:00 UTC; run `forgather tls renew` there"):
        check_server(leaf, future.now, then + timedelta(days=31))


def test_a_server_that_is_revoked_or_of_another_cluster_is_refused_by_clients(source, tmp_path):
    leaf = read_pem(source.now.certificate_file.read_bytes(), "server.pem")[0]
    now = SYSTEM()
    check_server(leaf, source.now, now)
    revoking = Material(authorities=source.now.authorities, revoked=Revoked(number=1, serials=frozenset({leaf.serial})))
    with pytest.raises(PeerError, match="is revoked; run `forgather tls join`"):
        check_server(leaf, revoking, now)
    other = new_authority("other")
    with pytest.raises(PeerError, match=f"belongs to the cluster {leaf.member.cluster}, which is not ours"):
        check_server(leaf, Material(authorities=(other.certificate,)), now)


def test_a_certificate_for_clients_only_does_not_serve(tmp_path, source):
    path = self_made(tmp_path / "c", subject="x", issuer="x", signed_by=None, usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    leaf = read_pem(path.read_bytes(), "c")[0]
    assert leaf.names == Names()
    with pytest.raises(PeerError, match="certificate of x is not for servers"):
        check_server(leaf, source.now, SYSTEM())


def test_files_that_cannot_be_used_are_named(tmp_path, authority):
    one, other = (identity_file(tmp_path / name, authority) for name in ("one.pem", "other.pem"))
    with pytest.raises(CertificateError, match=r"one.pem and .*other.pem: the private key is not that of the certif"):
        client_context(Material(certificate_file=one, key_file=other))
    with pytest.raises(CertificateError, match=r"missing.pem cannot be read: No such file"):
        client_context(Material(certificate_file=tmp_path / "missing.pem"))
    (tmp_path / "empty.pem").touch()
    with pytest.raises(CertificateError, match=r"empty.pem: no certificate chain in PEM form"):
        server_context(Held(Material(certificate_file=tmp_path / "empty.pem")))


def test_nobody_is_asked_for_a_passphrase(tmp_path, authority):
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    key = keys.new_key()
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    path = tmp_path / "locked.pem"
    path.write_bytes(locked + authority.certificate.pem)
    with pytest.raises(CertificateError, match=r"locked.pem: .* a private key that needs no passphrase"):
        client_context(Material(certificate_file=path))
