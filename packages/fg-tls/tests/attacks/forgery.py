"""Certificates as an attacker would have them: any field, any signer, any key."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fg_tls.pki.authority import Authority

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
BOTH_USES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and the key that its holder has, with the certificates that are shown after it."""

    certificate: x509.Certificate
    key: Key
    chain: tuple[x509.Certificate, ...] = ()

    def write(self, path: Path) -> Path:
        """Key and chain in one PEM file."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = (self.certificate, *self.chain)
        path.write_bytes(key + b"".join(each.public_bytes(Encoding.PEM) for each in chain))
        return path


def signer_of(authority: Authority) -> Pair:
    return Pair(certificate=authority.certificate.x509, key=authority.key)


def forge(
    signer: Pair | None,
    *,
    uris: Sequence[str] = (),
    hostnames: Sequence[str] = (),
    addresses: Sequence[str] = (),
    uses: Sequence[x509.ObjectIdentifier] = BOTH_USES,
    signs: bool = False,
    valid_from: timedelta = -DAY,
    valid_until: timedelta = DAY,
    key: Key | None = None,
    name: str = "member",
    shown: Sequence[x509.Certificate] = (),
) -> Pair:
    """A certificate with exactly these fields, signed by `signer` (None: by itself); times are from now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    alternative = [
        *map(x509.UniformResourceIdentifier, uris),
        *map(x509.DNSName, hostnames),
        *(x509.IPAddress(ipaddress.ip_address(each)) for each in addresses),
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + valid_from)
        .not_valid_after(now + valid_until)
        .add_extension(x509.BasicConstraints(ca=signs, path_length=None), critical=True)
    )
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(uses)), critical=False)
    certificate = builder.sign(signer.key if signer else key, hashes.SHA256())
    return Pair(certificate=certificate, key=key, chain=tuple(shown))


def stolen_certificate(victim: Pair, path: Path) -> Path:
    """The victim's certificate with a key of our own that claims the victim's public half, as a PEM file.

    OpenSSL compares public halves when it loads a pair, so it signs with the wrong key and only the server can tell.
    """
    own = ec.generate_private_key(ec.SECP256R1())
    claimed = _point(own.public_key()), _point(victim.key.public_key())
    der = own.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()).replace(*claimed)
    path.with_suffix(".der").write_bytes(der)
    path.write_bytes(_pem("PRIVATE KEY", der) + victim.certificate.public_bytes(Encoding.PEM))
    return path


def _point(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _pem(label: str, der: bytes) -> bytes:
    import base64

    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()
