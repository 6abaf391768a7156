"""What a certificate must be before this host takes it over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from fg_tls.errors import CertificateError
from fg_tls.pki.certificates import Certificate


def check_dates(certificate: Certificate, origin: str, now: datetime) -> None:
    """Refuse one that has run out, or does not hold yet.

    Raises:
        CertificateError: with the date, and the time that this host believes it is.
    """
    present = f"it is {now:%Y-%m-%d %H:%M} UTC by the clock of this host"
    if now > certificate.not_after:
        raise CertificateError(f"{origin} ran out on {certificate.not_after:%Y-%m-%d %H:%M} UTC, and {present}")
    if now < certificate.not_before:
        raise CertificateError(f"{origin} holds from {certificate.not_before:%Y-%m-%d %H:%M} UTC, and {present}")


def check_authority(certificate: Certificate, origin: str, now: datetime) -> None:
    """Refuse what cannot vouch for others.

    Raises:
        CertificateError: it is not the certificate of an authority, or not valid now.
    """
    if not certificate.is_authority:
        raise CertificateError(
            f"{origin} is not the certificate of an authority but of {certificate.common_name!r}; "
            f"take that of {certificate.issuer!r}, which has issued it"
        )
    check_dates(certificate, origin, now)


def check_served(chain: Sequence[Certificate], trusted: Sequence[Certificate], origin: str, now: datetime) -> None:
    """Refuse a chain (leaf first) that clients who trust `trusted` would not accept from a server.

    Raises:
        CertificateError: with the reason.
    """
    leaf = chain[0]
    if leaf.is_authority:
        raise CertificateError(f"{origin} begins with the authority {leaf.common_name!r}; a server shows its own first")
    if not leaf.for_servers:
        raise CertificateError(f"{origin} is not for servers (extended key usage); ask its issuer for one that is")
    if not leaf.names:
        raise CertificateError(f"{origin} has no names (subject alternative names); clients compare nothing else")
    for each in chain:
        check_dates(each, origin, now)
    for lower, upper in pairwise(chain):
        if not lower.issued_by(upper):
            raise CertificateError(
                f"in {origin} {upper.common_name!r} follows {lower.common_name!r} and has not issued it; "
                "put the certificates in order, the one of the server first"
            )
    if trusted and not any(chain[-1].issued_by(each) or chain[-1] == each for each in trusted):
        raise CertificateError(
            f"{origin} was issued by {chain[-1].issuer!r}, and not by {trusted[0].common_name!r} as it is given"
        )
