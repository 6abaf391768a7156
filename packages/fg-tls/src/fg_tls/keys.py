"""Private keys: made here, kept here, and never without their certificate."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from fg_tls.certificates import Certificate, key_hash, read_pem
from fg_tls.errors import CertificateError


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key as unencrypted PKCS #8; for files of mode 0600 only."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_pair(data: bytes, origin: str) -> tuple[ec.EllipticCurvePrivateKey, list[Certificate]]:
    """The key and the chain (leaf first) of one PEM file.

    Raises:
        CertificateError: one of them is missing or cannot be read, or the key is not that of the first certificate.
    """
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{origin} holds no readable private key without a passphrase") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"the private key in {origin} is not an elliptic-curve key")
    chain = read_pem(data, origin)
    if key_hash(key.public_key()) != chain[0].key_hash:
        raise CertificateError(f"the private key in {origin} does not belong to its certificate")
    return key, chain
