"""Certificates that are refused before their time: a list that the authority signs (a CRL, RFC 5280 section 5)."""

from __future__ import annotations

from dataclasses import dataclass

from fg_tls.certificates import Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """Serial numbers that are refused, and the number of the list they come from."""

    number: int = 0
    serials: frozenset[int] = frozenset()

    def __contains__(self, certificate: Certificate) -> bool:
        return certificate.serial in self.serials


NONE_REVOKED = Revoked()
