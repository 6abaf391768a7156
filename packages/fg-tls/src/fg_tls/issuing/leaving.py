"""The end of an old membership when its host joins the same cluster again: it shows that it still has the old key.

Otherwise the old one would keep the names of the host from it, and a replaced authority would wait for its reports. The
proof is for one join token, which counts once, so that nobody can show it again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from fg_tls.host.store import Identity, Store
from fg_tls.issuing import proof
from fg_tls.issuing.book_entries import MemberEntry
from fg_tls.issuing.books import Ledger
from fg_tls.issuing.join_messages import JoinRequest
from fg_tls.issuing.rotation import accepted
from fg_tls.pki.certificates import read_pem


def with_proof(request: JoinRequest, old: Identity) -> JoinRequest:
    """The request of a host that leaves the membership of `old` by joining."""
    signature = proof.sign(old.key, _challenge(request), old.certificate, request.csr)
    return replace(request, old_certificate=old.certificate.pem.decode("ascii"), old_proof=signature)


def end_previous(request: JoinRequest, ledger: Ledger, store: Store, now: datetime) -> MemberEntry | None:
    """Revoke the membership that the sender of a request has left, if it has shown its key; gives that.

    Who shows a key that counts no more joins like anybody else. The host of the authority does not leave.

    Raises:
        CertificateError: what stands for the old certificate is none.
    """
    if not request.old_certificate:
        return None
    certificate = read_pem(request.old_certificate.encode(), "the request to join")[0]
    known = ledger.members.get(certificate.member.id) if certificate.member else None
    if known is None or known.revoked is not None or known.is_behind(certificate):
        return None
    ours = any(certificate.issued_by(each) for each in accepted(store))
    if not ours or certificate.member == store.identity().certificate.member:
        return None
    if not proof.verify(request.old_proof, _challenge(request), certificate, request.csr):
        return None
    ledger.members[known.id] = replace(known, revoked=now)
    return known


def _challenge(request: JoinRequest) -> str:
    return f"join {request.token_id}"  # a space is in none of the challenges of `proof`
