"""What a certificate says, in our own words: the one place that takes X.509 apart."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fg_tls.errors import CertificateError
from fg_tls.pki.names import Constraints, Names

E = TypeVar("E", bound=x509.ExtensionType)
Role = Literal["member", "submitter"]
ROLES: Final[tuple[Role, ...]] = ("member", "submitter")

_MEMBER_URI: Final = re.compile(
    r"spiffe://fg\.internal/cluster/(?P<cluster>[0-9a-f-]{1,64})/(?P<role>member|submitter)/(?P<id>[0-9a-f-]{1,64})"
)
# Of a key or an extension that is not known here; these are no ValueErrors.
_UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_CLUSTER_URI: Final = re.compile(r"spiffe://fg\.internal/cluster/(?P<cluster>[0-9a-f-]{1,64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Who a certificate is for, as its SPIFFE id says it: `spiffe://fg.internal/cluster/<cluster>/<role>/<id>`."""

    cluster: str
    role: Role
    id: str

    @property
    def uri(self) -> str:
        return f"spiffe://fg.internal/cluster/{self.cluster}/{self.role}/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The facts of one X.509 certificate; times are aware and in UTC."""

    der: bytes = field(repr=False)
    common_name: str
    issuer: str
    serial: int
    not_before: datetime
    not_after: datetime
    names: Names
    member: Member | None  # None for certificates that are not ours, and for authorities
    cluster: str | None
    is_authority: bool
    is_constrained: bool  # whether name constraints limit both its host names and its addresses
    for_servers: bool
    for_clients: bool
    key_hash: str  # SHA-256 of the public key (SubjectPublicKeyInfo), hexadecimal; stays when a certificate is renewed
    issuer_key_id: bytes | None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the whole certificate, hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def pem(self) -> bytes:
        return self.x509.public_bytes(Encoding.PEM)

    @property
    def x509(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.der)

    @property
    def constraints(self) -> Constraints | None:
        """What an authority may vouch for; None when nothing limits it."""
        found = _extension(self.x509, x509.NameConstraints)
        if found is None:
            return None
        subtrees = found.permitted_subtrees or []
        return Constraints(
            domains=tuple(each.value for each in subtrees if isinstance(each, x509.DNSName)),
            networks=tuple(ipaddress.ip_network(each.value) for each in subtrees if isinstance(each, x509.IPAddress)),
        )

    def valid_at(self, now: datetime) -> bool:
        return self.not_before <= now <= self.not_after

    def issued_by(self, authority: Certificate) -> bool:
        """Whether the key of `authority` has signed this certificate, under its name."""
        try:
            self.x509.verify_directly_issued_by(authority.x509)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True


def read_pem(data: bytes, origin: str) -> list[Certificate]:
    """Every certificate of a PEM file, in its order; `origin` is what errors call the file.

    Raises:
        CertificateError: there is none, or one cannot be read.
    """
    try:
        found = x509.load_pem_x509_certificates(data)
        return [of_x509(each) for each in found]
    except _UNREADABLE as error:
        raise CertificateError(
            f"{origin} holds no readable PEM certificate; check that it begins with -----BEGIN CERTIFICATE-----"
        ) from error


@lru_cache(maxsize=1024)  # a peer shows the same bytes with every request
def read_der(der: bytes) -> Certificate:
    """The certificate of these bytes.

    Raises:
        CertificateError: they are none.
    """
    try:
        return of_x509(x509.load_der_x509_certificate(der))
    except _UNREADABLE as error:
        raise CertificateError(f"{len(der)} bytes from a peer are no certificate that can be read here") from error


def of_x509(certificate: x509.Certificate) -> Certificate:
    """The facts of a parsed certificate."""
    names, uris = _alternative_names(certificate)
    member = next((_member(match) for uri in uris if (match := _MEMBER_URI.fullmatch(uri))), None)
    cluster = next((match["cluster"] for uri in uris if (match := _CLUSTER_URI.fullmatch(uri))), None)
    usage = _extension(certificate, x509.ExtendedKeyUsage)
    basic = _extension(certificate, x509.BasicConstraints)
    issuer_key = _extension(certificate, x509.AuthorityKeyIdentifier)
    return Certificate(
        der=certificate.public_bytes(Encoding.DER),
        common_name=_common_name(certificate.subject),
        issuer=_common_name(certificate.issuer),
        serial=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        names=names,
        member=member,
        cluster=member.cluster if member else cluster,
        is_authority=basic is not None and basic.ca,
        is_constrained=_is_constrained(_extension(certificate, x509.NameConstraints)),
        for_servers=usage is None or ExtendedKeyUsageOID.SERVER_AUTH in usage,
        for_clients=usage is not None and ExtendedKeyUsageOID.CLIENT_AUTH in usage,  # only our own, which say so
        key_hash=key_hash(certificate.public_key()),
        issuer_key_id=issuer_key.key_identifier if issuer_key else None,
    )


def key_hash(public_key: x509.base.CertificatePublicKeyTypes) -> str:
    """SHA-256 of a public key as SubjectPublicKeyInfo, hexadecimal: what join tokens pin."""
    return hashlib.sha256(public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _member(match: re.Match[str]) -> Member:
    role: Role = "member" if match["role"] == "member" else "submitter"
    return Member(cluster=match["cluster"], role=role, id=match["id"])


def _alternative_names(certificate: x509.Certificate) -> tuple[Names, list[str]]:
    found = _extension(certificate, x509.SubjectAlternativeName)
    if found is None:
        return Names(), []
    hostnames = tuple(_printable(name.lower()) for name in found.get_values_for_type(x509.DNSName))
    addresses = tuple(ipaddress.ip_address(str(each)) for each in found.get_values_for_type(x509.IPAddress))
    return Names(hostnames=hostnames, addresses=addresses), found.get_values_for_type(x509.UniformResourceIdentifier)


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _common_name(name: x509.Name) -> str:
    values = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return _printable(str(values[0].value) if values else name.rfc4514_string())


def _printable(text: str) -> str:
    """`text` for one line of a terminal: whoever made a certificate chose it, escape sequences and line breaks too."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _is_constrained(found: x509.NameConstraints | None) -> bool:
    """Whether something is permitted of both kinds, and not everything: a kind that is not named has no limits."""
    permitted = (found.permitted_subtrees or []) if found else []
    domains = [each.value for each in permitted if isinstance(each, x509.DNSName)]
    networks = [ipaddress.ip_network(each.value) for each in permitted if isinstance(each, x509.IPAddress)]
    return bool(domains and networks) and all(domains) and all(each.prefixlen for each in networks)
