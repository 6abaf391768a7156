"""Certificate signing requests (PKCS #10, RFC 2986): a public key, and proof that its owner has the private one.

An authority takes nothing else from a request. Names, role and lifetime are for the authority to decide.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from fg_tls.errors import CertificateError


def signing_request(key: ec.EllipticCurvePrivateKey) -> str:
    """A request for a certificate of `key`, as PEM."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode("ascii")


def requested_key(pem: str) -> ec.EllipticCurvePublicKey:
    """The key that a request asks a certificate for.

    Raises:
        CertificateError: it is no request, its key is not P-256, or its signature is not by that key.
    """
    try:
        request = x509.load_pem_x509_csr(pem.encode("utf-8"))
        key = request.public_key()
        signed = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise CertificateError("the certificate signing request cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateError("the certificate signing request is not for a P-256 key")
    if not signed:
        raise CertificateError("the certificate signing request is not signed by its own key")
    return key
