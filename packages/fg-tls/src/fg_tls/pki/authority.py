"""The authority: one P-256 key that vouches for the hosts of one household, within name constraints.

RFC 5280 is the profile. A leaf serves and asks (server and client authentication), holds for 30 days, and names its
member in a URI; the authority decides every field of it, whatever the request for it says.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fg_tls.errors import CertificateError
from fg_tls.pki import keys
from fg_tls.pki.certificates import Certificate, Member, of_x509
from fg_tls.pki.names import Constraints, Names

AUTHORITY_LIFETIME: Final = timedelta(days=3650)
LEAF_LIFETIME: Final = timedelta(days=30)
BACK_DATED: Final = timedelta(minutes=5)  # for hosts whose clocks are a little behind


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A certificate that vouches for others, and its private key."""

    certificate: Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, name: str, constraints: Constraints, *, now: datetime, cluster: str | None = None) -> Self:
        """A new authority that holds for ten years; `cluster` stays when one authority follows another."""
        key = ec.generate_private_key(ec.SECP256R1())
        cluster = cluster or str(uuid.uuid4())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            _dated(subject, subject, key.public_key(), now, AUTHORITY_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_name_constraints(constraints), critical=True)
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.UniformResourceIdentifier(f"spiffe://fg.internal/cluster/{cluster}")]
                ),
                critical=False,
            )
        )
        return cls(certificate=of_x509(builder.sign(key, hashes.SHA256())), key=key)

    @classmethod
    def from_pem(cls, data: bytes, origin: str) -> Self:
        """The authority of a file that holds its key and its certificate.

        Raises:
            CertificateError: one of them is missing or cannot be read, or they do not belong together.
        """
        key, chain = keys.read_pair(data, origin)
        if not chain[0].is_authority:
            raise CertificateError(f"{origin} is not the certificate of an authority")
        return cls(certificate=chain[0], key=key)

    @property
    def cluster(self) -> str:
        """The id that stays when the authority is replaced."""
        return self.certificate.cluster or self.certificate.key_hash[:32]

    @property
    def constraints(self) -> Constraints:
        """What this authority may vouch for."""
        return self.certificate.constraints or Constraints(domains=(), networks=())

    def issue(
        self,
        public_key: ec.EllipticCurvePublicKey,
        *,
        member: Member,
        names: Names,
        now: datetime,
        lifetime: timedelta = LEAF_LIFETIME,
    ) -> Certificate:
        """A leaf for `member`, which may serve and ask under `names`.

        Raises:
            CertificateError: a name is outside the constraints of this authority.
        """
        permitted = self.constraints.permits(names)
        if permitted != names:
            outside = [each for each in str(names).split(", ") if each not in str(permitted).split(", ")]
            raise CertificateError(
                f"the authority {self.certificate.common_name!r} may not vouch for {', '.join(outside)}; "
                "it vouches for private addresses and domains, and for names given to `forgather tls init --hostname "
                "NAME`"
            )
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{member.role} {member.id}")])
        until = min(now + lifetime, self.certificate.not_after) - now
        builder = (
            _dated(subject, self.certificate.x509.subject, public_key, now, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(_alternative_names(names, member), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        return of_x509(builder.sign(self.key, hashes.SHA256()))

    def pem(self) -> bytes:
        """Key and certificate, for a file that only its owner can read."""
        return keys.key_pem(self.key) + self.certificate.pem


def _dated(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACK_DATED)
        .not_valid_after(now + lifetime)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name_constraints(constraints: Constraints) -> x509.NameConstraints:
    domains = [x509.DNSName(each) for each in constraints.domains]
    networks = [x509.IPAddress(each) for each in constraints.networks]
    # No constraint on URIs: OpenSSL applies one to a URI's host and would refuse SPIFFE ids of other clusters' form.
    return x509.NameConstraints(permitted_subtrees=[*domains, *networks], excluded_subtrees=None)


def _alternative_names(names: Names, member: Member) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [
            *(x509.DNSName(each) for each in names.hostnames),
            *(x509.IPAddress(each) for each in names.addresses),
            x509.UniformResourceIdentifier(member.uri),
        ]
    )
