"""Clients with certificates that should not count, and servers with certificates that clients must not believe."""

import socket
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from fg_tls.pki import revocation
from fg_tls.pki.authority import Authority
from fg_tls.pki.contexts import client_context
from fg_tls.pki.names import private_constraints

from .forgery import DAY, forge, stolen_certificate
from .impostor import impostor
from .target import LONGEST_WAIT, read_to_the_end, request

HANDSHAKE = ()  # no HTTP status at all: the connection ended in the handshake
CLIENT_ONLY, SERVER_ONLY = [ExtendedKeyUsageOID.CLIENT_AUTH], [ExtendedKeyUsageOID.SERVER_AUTH]


class Forger:
    """Makes the certificates of the attacks below; each is one method."""

    def __init__(self, signer, authority):
        self.signer = signer
        self.cluster = authority.cluster
        self.uri = f"spiffe://fg.internal/cluster/{self.cluster}/member/aaaa-9"

    def self_signed(self):
        return forge(None, uris=[self.uri])

    def self_signed_authority(self):
        return forge(None, uris=[self.uri], signs=True)

    def of_a_foreign_authority(self):
        return forge(self._imitation("Somebody Else"), uris=[self.uri])

    def of_an_authority_with_our_name(self):
        return forge(self._imitation("Forgather test"), uris=[self.uri])

    def of_an_authority_with_our_name_shown_too(self):
        imitation = self._imitation("Forgather test")
        return forge(imitation, uris=[self.uri], shown=[imitation.certificate])

    def of_an_imitation_followed_by_the_real_authority(self):
        return forge(self._imitation("Forgather test"), uris=[self.uri], shown=[self.signer.certificate])

    def run_out(self):
        return forge(self.signer, uris=[self.uri], valid_from=-30 * DAY, valid_until=timedelta(minutes=-1))

    def not_yet_valid(self):
        return forge(self.signer, uris=[self.uri], valid_from=timedelta(minutes=10))

    def for_servers_only(self):
        return forge(self.signer, uris=[self.uri], uses=SERVER_ONLY)

    def for_signing_code(self):
        return forge(self.signer, uris=[self.uri], uses=[ExtendedKeyUsageOID.CODE_SIGNING])

    def without_a_use(self):
        return forge(self.signer, uris=[self.uri], uses=[])

    def of_a_submitter(self):
        return forge(self.signer, uris=[self.uri.replace("/member/", "/submitter/")])

    def of_an_unknown_role(self):
        return forge(self.signer, uris=[self.uri.replace("/member/", "/admin/")])

    def without_a_member_id(self):
        return forge(self.signer, name="member aaaa-9", hostnames=["localhost"])

    def of_another_trust_domain(self):
        return forge(self.signer, uris=[self.uri.replace("fg.internal", "evil.example")])

    def of_another_scheme(self):
        return forge(self.signer, uris=[self.uri.replace("spiffe", "https")])

    def of_another_cluster(self):
        return forge(self.signer, uris=[self.uri.replace(self.cluster, "b" * 36)])

    def with_a_longer_path(self):
        return forge(self.signer, uris=[f"{self.uri}/extra"])

    def with_a_name_outside_the_constraints(self):
        return forge(self.signer, uris=[self.uri], hostnames=["bank.example"])

    def with_an_address_outside_the_constraints(self):
        return forge(self.signer, uris=[self.uri], addresses=["8.8.8.8"])

    def signed_by_a_leaf(self):
        leaf = forge(self.signer, uris=[self.uri])
        return forge(leaf, uris=[self.uri], shown=[leaf.certificate])

    def below_an_intermediate(self):
        intermediate = forge(self.signer, signs=True, name="intermediate")
        return forge(intermediate, uris=[self.uri], shown=[intermediate.certificate])

    def with_a_weak_key(self):
        key = rsa.generate_private_key(65537, 1024)
        return forge(self.signer, uris=[self.uri], key=key)

    def on_a_weak_curve(self):
        return forge(self.signer, uris=[self.uri], key=ec.generate_private_key(ec.SECP192R1()))

    def behind_a_chain_of_hundreds(self):
        return forge(self.signer, uris=[self.uri], shown=[self.signer.certificate] * 400)

    def _imitation(self, name):
        return forge(None, signs=True, name=name, uses=[])


@pytest.fixture
def forger(signer, protected):
    return Forger(signer, protected.authority)


CLIENTS = {
    "self_signed": HANDSHAKE,
    "self_signed_authority": HANDSHAKE,
    "of_a_foreign_authority": HANDSHAKE,
    "of_an_authority_with_our_name": HANDSHAKE,
    "of_an_authority_with_our_name_shown_too": HANDSHAKE,
    "of_an_imitation_followed_by_the_real_authority": HANDSHAKE,
    "run_out": HANDSHAKE,
    "not_yet_valid": HANDSHAKE,
    "for_servers_only": HANDSHAKE,
    "for_signing_code": HANDSHAKE,
    "without_a_use": (401,),
    "of_a_submitter": (403,),
    "of_an_unknown_role": (401,),
    "without_a_member_id": (401,),
    "of_another_trust_domain": (401,),
    "of_another_scheme": (401,),
    "of_another_cluster": (401,),
    "with_a_longer_path": (401,),
    "with_a_name_outside_the_constraints": HANDSHAKE,
    "with_an_address_outside_the_constraints": HANDSHAKE,
    "signed_by_a_leaf": HANDSHAKE,
    "below_an_intermediate": HANDSHAKE,
    "with_a_weak_key": HANDSHAKE,
    "on_a_weak_curve": (401,),  # TLS 1.3 has no signature for it, so the client shows nothing
    "behind_a_chain_of_hundreds": HANDSHAKE,
}


@pytest.mark.parametrize(("kind", "outcome"), CLIENTS.items(), ids=CLIENTS)
def test_a_client_whose_certificate_does_not_count_is_refused(protected, forger, tmp_path, kind, outcome):
    certificate = getattr(forger, kind)().write(tmp_path / "client.pem")
    assert shown(protected, certificate) == outcome


def shown(target, certificate: Path) -> tuple[int, ...]:
    """The answer to a client with this certificate; () when the handshake fails."""
    context = target.context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # so that it is the server that refuses what is weak
    context.load_cert_chain(certificate)
    with target.raw() as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as connection:
                connection.sendall(request("GET /peers"))
                answer = read_to_the_end(connection)
        except OSError:  # the server may hang up before the client has finished its half
            return HANDSHAKE
    return (int(answer.split()[1]),) if answer else HANDSHAKE


def test_without_a_certificate_the_peers_route_is_closed(protected):
    assert protected.statuses(request("GET /peers")) == (401,)


def test_the_certificate_of_somebody_else_is_worth_nothing_without_the_key(protected, forger, signer, tmp_path):
    victim = forge(signer, uris=[forger.uri])
    assert shown(protected, victim.write(tmp_path / "victim.pem")) == (200,)
    protected.legitimate += 1
    assert shown(protected, stolen_certificate(victim, tmp_path / "stolen.pem")) == HANDSHAKE


def test_a_certificate_in_a_header_is_only_text(protected, signer, forger):
    member = forge(signer, uris=[forger.uri]).certificate
    text = member.public_bytes(Encoding.PEM).replace(b"\n", b"%0A")
    headers = [b"X-Forwarded-Client-Cert: " + text, b"X-SSL-Client-Cert: " + text, b"X-Client-Verify: SUCCESS"]
    assert protected.statuses(request("GET /peers", *headers)) == (401,)


def test_a_signature_with_sha_1_is_refused(protected, forger, signer, tmp_path):
    signer_file, request_file = tmp_path / "signer.pem", tmp_path / "request.pem"
    signer.write(signer_file)
    key, certificate = tmp_path / "key.pem", tmp_path / "sha1.pem"
    for command in (
        f"req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {key} -subj /CN=x -out {request_file}",
        f"x509 -req -sha1 -days 1 -in {request_file} -CA {signer_file} -CAkey {signer_file} -out {certificate}",
    ):
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True, timeout=LONGEST_WAIT)
    certificate.write_bytes(key.read_bytes() + certificate.read_bytes())
    assert shown(protected, certificate) == HANDSHAKE


def test_a_revoked_certificate_is_refused_at_once_on_open_connections_too(protected, signer, forger, tmp_path):
    now = datetime.now(UTC)
    member = forge(signer, uris=[forger.uri])
    file = member.write(tmp_path / "revoked.pem")
    asks = request("GET /peers").replace(b"Connection: close\r\n", b"")
    with protected.connect(file) as connection:
        connection.sendall(asks)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        protected.legitimate += 1
        revoked = revocation.sign(protected.authority, {member.certificate.serial_number: now}, number=1, now=now)
        protected.store.write(revocation.LIST_FILE, revoked)
        connection.sendall(request("GET /peers"))
        assert b"HTTP/1.1 401 " in read_to_the_end(connection)
    assert shown(protected, file) in (HANDSHAKE, (401,))


def test_a_list_of_revoked_certificates_by_somebody_else_locks_nobody_out(protected, signer, forger, honest, tmp_path):
    now = datetime.now(UTC)
    foreign = Authority.create("Forgather test", private_constraints(), now=now)
    serial = x509.load_pem_x509_certificate(honest.read_bytes()).serial_number
    genuine = revocation.read_bytes(protected.store)
    protected.store.write(revocation.LIST_FILE, revocation.sign(foreign, {serial: now}, number=99, now=now))
    try:
        assert shown(protected, honest) == (200,)
        protected.legitimate += 1
    finally:
        protected.store.write(
            revocation.LIST_FILE, genuine or revocation.sign(protected.authority, {}, number=1, now=now)
        )


SERVERS = {
    "self-signed": {"signer": None},
    "of a foreign authority": {"signer": forge(None, signs=True, name="Somebody Else", uses=[])},
    "of an authority with our name": {"signer": forge(None, signs=True, name="Forgather test", uses=[])},
    "run out": {"valid_from": -30 * DAY, "valid_until": timedelta(minutes=-1)},
    "not yet valid": {"valid_from": timedelta(minutes=10)},
    "for another name": {"hostnames": ["other.local"]},
    "for another address": {"hostnames": (), "addresses": ["127.0.0.2"]},
    "by common name only": {"hostnames": (), "name": "localhost"},
    "outside the constraints": {"hostnames": ["bank.example"]},
    "partly outside the constraints": {"hostnames": ["localhost", "bank.example"]},
    "an address outside the constraints": {"addresses": ["8.8.8.8"]},
    "for clients only": {"uses": CLIENT_ONLY},
    "that of a leaf of ours": {"below": False},
    "below an intermediate": {"below": True},
}


def _plain(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=LONGEST_WAIT)


@pytest.mark.parametrize("fields", SERVERS.values(), ids=SERVERS)
def test_a_client_tells_a_false_server_nothing(protected, signer, tmp_path, fields):
    fields = {"hostnames": ["localhost"]} | fields
    if "signer" in fields:
        signer = fields.pop("signer")
    if "below" in fields:
        middle = forge(signer, signs=fields.pop("below"), name="middle")
        signer, fields = middle, fields | {"shown": [middle.certificate]}
    false = forge(signer, **fields)
    context = client_context(protected.store.material())
    listening, refused = impostor(false.write(tmp_path / "false.pem")), pytest.raises(ssl.SSLCertVerificationError)
    with listening as (port, heard), _plain(port) as plain, refused:
        context.wrap_socket(plain, server_hostname="localhost")
    assert heard == [b""]


def test_an_imported_authority_does_not_speak_for_our_cluster(protected, forger, tmp_path):
    """Its servers are trusted from now on; its word on who is a member of our cluster is not."""
    foreign = forge(None, signs=True, name="Neighbours", uses=[])
    imported = protected.store.directory / "trusted" / "neighbours.crt"
    imported.parent.mkdir(mode=0o700, exist_ok=True)
    imported.write_bytes(foreign.certificate.public_bytes(Encoding.PEM))
    try:
        assert shown(protected, forge(foreign, uris=[forger.uri]).write(tmp_path / "client.pem")) in (HANDSHAKE, (401,))
    finally:
        imported.unlink()
