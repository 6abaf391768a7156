"""Which certificates count, request by request.

The handshake has verified the chain. Dates, revocation and roles are looked at again for every request: a connection
may outlive the certificate that opened it.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature

from fg_tls.clock import SYSTEM, Clock
from fg_tls.listener.identity import Peer
from fg_tls.pki.certificates import Certificate, read_der
from fg_tls.pki.contexts import Live, Source


class Peers:
    """Makes a `Peer` of the certificate that a client has shown."""

    def __init__(self, source: Source, *, clock: Clock = SYSTEM) -> None:
        self._live = Live(source)
        self._clock = clock

    def peer(self, der: bytes) -> Peer | None:
        """The holder of a certificate; None when it has run out, is revoked, or is not that of a member."""
        certificate = read_der(der)
        if certificate.member is None or not certificate.for_clients or self.refusal(certificate) is not None:
            return None
        return Peer(
            name=certificate.member.id, role=certificate.member.role, scopes=frozenset(), certificate=certificate
        )

    def refusal(self, certificate: Certificate) -> str | None:
        """Why `certificate` does not count now; None when it does."""
        self._live.changed()
        if not any(_speaks_for(authority, certificate) for authority in self._live.material.authorities):
            return "no authority of its cluster that is trusted here has signed it"
        now = self._clock()
        if certificate in self._live.material.revoked:
            return "it is revoked"
        if now < certificate.not_before:
            return f"it is valid from {certificate.not_before:%Y-%m-%d %H:%M} UTC"
        if now > certificate.not_after:
            return f"it ran out on {certificate.not_after:%Y-%m-%d %H:%M} UTC"
        return None


def _speaks_for(authority: Certificate, certificate: Certificate) -> bool:
    """Whether `certificate` names the cluster of `authority`, and is signed by it.

    An imported authority is trusted in the handshake too; it must not make members of our cluster.
    """
    cluster = authority.cluster or authority.key_hash[:32]
    return cluster == certificate.cluster and _signed(certificate.der, authority.der)


@lru_cache(maxsize=1024)
def _signed(der: bytes, authority: bytes) -> bool:
    try:
        read_der(der).x509.verify_directly_issued_by(read_der(authority).x509)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
