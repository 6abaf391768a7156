"""How a host that slept through a change of authorities finds the new one: the old one has signed who follows it.

The statement is no certificate. A cross-certificate would be an authority below the old one, and a path length of 0
(RFC 5280 section 4.2.1.9) rules that out: verifiers would refuse every chain through it. A statement is read by our
own hosts alone, which trust the successor itself from then on.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fg_tls.errors import CertificateError, JoinError, StoreError
from fg_tls.pki.certificates import Certificate, read_pem

if TYPE_CHECKING:
    from fg_tls.host.store import Store
    from fg_tls.pki.authority import Authority

SUCCESSIONS: Final = "ca/successions.json"
_PURPOSE: Final = b"forgather authority succession v1\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """`predecessor` says that `successor` follows it."""

    predecessor: Certificate
    successor: Certificate
    signature: bytes

    @classmethod
    def sign(cls, predecessor: Authority, successor: Certificate) -> Self:
        """The statement of an authority that still has its key."""
        signature = predecessor.key.sign(_PURPOSE + successor.der, ec.ECDSA(hashes.SHA256()))
        return cls(predecessor=predecessor.certificate, successor=successor, signature=signature)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """A statement as `to_json` writes it.

        Raises:
            JoinError: it is none.
        """
        try:
            (predecessor,) = read_pem(value["predecessor"].encode(), "a succession")
            (successor,) = read_pem(value["successor"].encode(), "a succession")
            signature = base64.b64decode(value["signature"], validate=True)
        except (KeyError, TypeError, AttributeError, ValueError, binascii.Error, CertificateError) as error:
            raise JoinError("the issuer sent a statement of succession that cannot be read") from error
        return cls(predecessor=predecessor, successor=successor, signature=signature)

    def to_json(self) -> dict[str, str]:
        """Both certificates as PEM, and the signature in base64."""
        return {
            "predecessor": self.predecessor.pem.decode(),
            "successor": self.successor.pem.decode(),
            "signature": base64.b64encode(self.signature).decode(),
        }

    def holds(self, trusted: Iterable[Certificate]) -> bool:
        """Whether the predecessor is trusted, has signed this, and the successor has no more power than it had."""
        key = next((each for each in trusted if each.der == self.predecessor.der), None)
        return key is not None and self._signed(key) and _follows(self.predecessor, self.successor)

    def _signed(self, predecessor: Certificate) -> bool:
        key = predecessor.x509.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        try:
            key.verify(self.signature, _PURPOSE + self.successor.der, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


def followed(trusted: tuple[Certificate, ...], statements: Iterable[Succession]) -> tuple[Certificate, ...]:
    """`trusted`, and before them each successor that one of them vouches for, oldest statement first."""
    for statement in statements:
        if statement.successor not in trusted and statement.holds(trusted):
            trusted = (statement.successor, *trusted)
    return trusted


def successions(store: Store) -> list[Succession]:
    """Every statement that the authorities of this host have made, the oldest first.

    Raises:
        StoreError: the file cannot be read.
    """
    path = store.directory / SUCCESSIONS
    if not path.exists():
        return []
    try:
        return [Succession.from_json(each) for each in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{path} is damaged; restore it from a backup, or remove it: {error}") from error


def statements(body: Mapping[str, Any]) -> list[Succession]:
    """The statements in an answer of an issuer.

    Raises:
        JoinError: one cannot be read.
    """
    found = body.get("successions", [])
    if not isinstance(found, list):
        raise JoinError("the issuer sent successions that are no list")
    return [Succession.from_json(each) for each in found]


def _follows(predecessor: Certificate, successor: Certificate) -> bool:
    return (
        successor.is_authority and successor.is_constrained and successor.cluster == predecessor.cluster
    ) and _constraints(successor) == _constraints(predecessor)


def _constraints(certificate: Certificate) -> x509.NameConstraints | None:
    try:
        return certificate.x509.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None
