"""Private keys: made here, kept here, and never without their certificate."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from fg_tls.errors import CertificateError
from fg_tls.pki.certificates import Certificate, key_hash, read_pem

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_LEAST_RSA_BITS: Final = 2048


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: PrivateKey) -> bytes:
    """The key as unencrypted PKCS #8; for files of mode 0600 only."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_key(data: bytes, origin: str) -> PrivateKey:
    """The private key of a PEM file; `origin` is what errors call the file.

    Raises:
        CertificateError: there is none, it has a passphrase, or it is of a kind that is not used here.
    """
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{origin} holds no readable private key without a passphrase") from error
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _LEAST_RSA_BITS:
        return key
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"the private key in {origin} is neither an elliptic-curve key nor RSA of 2048 bits")
    return key


def check_pair(key: PrivateKey, chain: list[Certificate], origin: str) -> None:
    """Whether the key is that of the first certificate of a chain.

    Raises:
        CertificateError: it is not.
    """
    if key_hash(key.public_key()) != chain[0].key_hash:
        raise CertificateError(f"the private key in {origin} does not belong to its certificate")


def read_pair(data: bytes, origin: str) -> tuple[ec.EllipticCurvePrivateKey, list[Certificate]]:
    """The elliptic-curve key and the chain (leaf first) of one PEM file.

    Raises:
        CertificateError: one of them is missing or cannot be read, or the key is not that of the first certificate.
    """
    key = read_key(data, origin)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"the private key in {origin} is not an elliptic-curve key")
    chain = read_pem(data, origin)
    check_pair(key, chain, origin)
    return key, chain
