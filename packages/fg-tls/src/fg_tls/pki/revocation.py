"""Certificates that are refused before their time: a list that the authority signs (a CRL, RFC 5280 section 5).

One list serves the whole cluster, whichever of its authorities issued a certificate: serial numbers are random and
159 bits long, and while one authority follows another, only the newer one signs lists. A list does not run out. It is
replaced when there is a newer one, and a host that has not heard of one for weeks must not refuse everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from fg_tls.errors import StoreError
from fg_tls.pki.certificates import Certificate

if TYPE_CHECKING:
    from fg_tls.host.store import Store
    from fg_tls.pki.authority import Authority

LIST_FILE: Final = "revoked.crl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """Serial numbers that are refused, and the number of the list they come from."""

    number: int = 0
    serials: frozenset[int] = frozenset()

    def __contains__(self, certificate: Certificate) -> bool:
        return certificate.serial in self.serials


NONE_REVOKED = Revoked()


def sign(authority: Authority, entries: Mapping[int, datetime], *, number: int, now: datetime) -> bytes:
    """A list (PEM) of serial numbers with the times of their revocation."""
    from fg_tls.pki.authority import BACK_DATED

    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.x509.subject)
        .last_update(now - BACK_DATED)
        .next_update(authority.certificate.not_after)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    for serial, when in sorted(entries.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def verify(data: bytes, authorities: Iterable[Certificate], origin: str) -> Revoked:
    """What a list (PEM) says.

    Raises:
        StoreError: it cannot be read, or none of `authorities` has signed it.
    """
    try:
        found = x509.load_pem_x509_crl(data)
        number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (ValueError, x509.ExtensionNotFound) as error:
        raise StoreError(f"{origin} is no revocation list; remove it and run `forgather tls renew`") from error
    if not any(_signed(found, each) for each in authorities):
        raise StoreError(
            f"no authority of this cluster has signed {origin}; remove it and run `forgather tls renew` to fetch the "
            "list that counts"
        )
    return Revoked(number=number, serials=frozenset(each.serial_number for each in found))


def signed_by(data: bytes, authority: Certificate) -> bool:
    """Whether `authority` has signed a list (PEM) that can be read."""
    return _signed(x509.load_pem_x509_crl(data), authority)


def read(store: Store) -> Revoked:
    """What the list of this host says; nothing is revoked where there is none.

    Raises:
        StoreError: the list cannot be read, or no authority of this cluster has signed it.
    """
    data = read_bytes(store)
    if not data:
        return NONE_REVOKED
    return verify(data, store.cluster_authorities(), str(store.revoked_path))


def read_bytes(store: Store) -> bytes:
    """The list of this host as it is, empty where there is none.

    Raises:
        StoreError: the file cannot be read.
    """
    path = store.revoked_path
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error


def take(store: Store, data: bytes, origin: str) -> bool:
    """Keep a list that came from an issuer if it is newer than ours; whether it was.

    Raises:
        StoreError: no authority of this cluster has signed it.
    """
    authorities = store.cluster_authorities()
    offered = verify(data, authorities, origin)
    ours = read_bytes(store)
    if ours and verify(ours, authorities, str(store.revoked_path)).number >= offered.number:
        return False
    store.write(LIST_FILE, data)
    return True


def _signed(found: x509.CertificateRevocationList, authority: Certificate) -> bool:
    key = authority.x509.public_key()
    named = found.issuer == authority.x509.subject
    return named and isinstance(key, ec.EllipticCurvePublicKey) and found.is_signature_valid(key)
