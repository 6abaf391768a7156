"""What an issuer answers to members: the next certificate, and what is new in the cluster.

The guard of the server has verified certificates that come with a request. Those that come in one, because they have
run out, are verified here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from fg_tls.errors import CertificateError, JoinError
from fg_tls.issuing import proof, rotation
from fg_tls.issuing.book_entries import RETURN_PERIOD
from fg_tls.issuing.bulletin import Bulletin
from fg_tls.issuing.issuer import Issuer
from fg_tls.pki.certificates import Certificate, Member, read_pem
from fg_tls.pki.names import Address, Names, parse_names
from fg_tls.pki.signing_requests import requested_key

logger = logging.getLogger(__name__)

LONGEST_POLL: Final = 25.0  # seconds
_LOOK_EVERY: Final = 0.25  # seconds; other processes change the files too, so that they are watched


def answer_renewal(
    issuer: Issuer, certificate: Certificate, body: Mapping[str, Any], came_from: Address | None = None
) -> dict[str, Any]:
    """The next certificate of a member that has shown its present one in the handshake.

    Raises:
        JoinError: the member is revoked or unknown, or asks for a name that another one holds.
        CertificateError, HostNameError: the request is malformed.
    """
    member = _admitted(issuer, certificate)
    csr, names = body.get("csr"), body.get("names", [])
    if not isinstance(csr, str) or not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise JoinError("the request for renewal lacks a field, or one is not text; both hosts need the same version")
    return issuer.answer(following(issuer, certificate, member, requested_key(csr), parse_names(names), came_from))


def answer_proof(
    issuer: Issuer, challenges: proof.Challenges, body: Mapping[str, Any], came_from: Address | None = None
) -> dict[str, Any]:
    """A challenge for whoever sends a certificate, and the next one for whoever meets it.

    Raises:
        JoinError: the certificate is not ours, is revoked, ran out too long ago, or its key was not proved.
        CertificateError, HostNameError: the request is malformed.
    """
    pem, challenge, signature, csr = (body.get(name) for name in ("certificate", "challenge", "signature", "csr"))
    certificate = _one_certificate(pem)
    _refuse_late(certificate, issuer.clock())
    if not any(certificate.issued_by(each) for each in rotation.accepted(issuer.store)):
        raise JoinError("the certificate was not issued by an authority of this cluster, or by one that was replaced")
    _admitted(issuer, certificate)
    if challenge is None:
        return {"challenge": challenges.new(certificate)}
    if not (isinstance(challenge, str) and isinstance(signature, str) and isinstance(csr, str)):
        raise JoinError("the proof lacks a field, or one is not text; both hosts need the same version")
    challenges.meet(challenge, certificate)
    if not proof.verify(signature, challenge, certificate, csr):
        raise JoinError("the signature is not by the key of the certificate")
    return answer_renewal(issuer, certificate, body, came_from)


async def answer_state(
    issuer: Issuer, certificate: Certificate, *, since: str = "", wait: float = LONGEST_POLL
) -> dict[str, Any]:
    """The bulletin as soon as it is another one than `since`, or after `wait` seconds.

    A member asks with the version that it has carried out, which is how the books learn of it.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + min(max(wait, 0.0), LONGEST_POLL)
    bulletin, reported = Bulletin.of(issuer.store), None
    while bulletin.version == since:
        state = (bulletin.version, issuer.books.rotation().get("phase"))
        if reported != state:
            reported = state
            await asyncio.to_thread(rotation.note, issuer, certificate, bulletin.authorities)
        if must_renew(certificate, bulletin) or loop.time() >= deadline:
            break
        await asyncio.sleep(_LOOK_EVERY)
        bulletin = Bulletin.of(issuer.store)
    if reported is None:
        await asyncio.to_thread(rotation.note, issuer, certificate)
    return bulletin.to_json() | {"version": bulletin.version, "renew_now": must_renew(certificate, bulletin)}


def must_renew(certificate: Certificate, bulletin: Bulletin) -> bool:
    """Whether the authority that signs now is another one than that of `certificate`."""
    return not certificate.issued_by(bulletin.authorities[0])


def following(
    issuer: Issuer,
    certificate: Certificate,
    member: Member,
    public_key: ec.EllipticCurvePublicKey,
    wanted: Names,
    came_from: Address | None = None,
) -> Certificate:
    """The certificate of `member` after `certificate`; it is in the books.

    A wish must not cost it the certificate: if another member holds one of the host names, no new ones are given. Fresh
    machines are often all called the same.

    Raises:
        JoinError: the member is revoked, or has called with a newer certificate since.
    """
    try:
        return issuer.issue(
            public_key, member=member, wanted=wanted or certificate.names, after=certificate, came_from=came_from
        )
    except JoinError as error:
        logger.warning("member %s gets no new host names: %s", member.id, error)
        kept = Names(hostnames=certificate.names.hostnames, addresses=wanted.addresses)
        return issuer.issue(public_key, member=member, wanted=kept, after=certificate, came_from=came_from)


def _admitted(issuer: Issuer, certificate: Certificate) -> Member:
    member = certificate.member
    entry = issuer.books.member(member.id) if member else None
    if member is None or entry is None:
        raise JoinError("the member is not in the books of this issuer; let it join with `forgather tls join`")
    if refusal := entry.refusal(certificate, issuer.clock()):
        raise JoinError(refusal)
    return member


def _refuse_late(certificate: Certificate, now: datetime) -> None:
    if now > certificate.not_after + RETURN_PERIOD:
        raise JoinError(
            f"the certificate ran out on {certificate.not_after:%Y-%m-%d}, more than {RETURN_PERIOD.days} days ago; "
            "join again: `forgather tls join-token` on the host of the authority, `forgather tls join` on this one"
        )


def _one_certificate(pem: object) -> Certificate:
    if not isinstance(pem, str):
        raise JoinError("the proof lacks the certificate that it is for")
    found = read_pem(pem.encode("utf-8"), "the request")
    if len(found) != 1:
        raise CertificateError(f"the request holds {len(found)} certificates instead of one")
    return found[0]
