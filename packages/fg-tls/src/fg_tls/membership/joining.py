"""How a host becomes a member with one line: its key is made here and stays here.

Nothing is written before the issuer has answered and the answer is proven. Then the certificate is written last: a host
that dies in between has not joined, and one that has a certificate has everything else too.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import CertificateError, JoinError, PeerError, StoreError, TlsError
from fg_tls.host.safe_files import check_room
from fg_tls.host.store import Identity, Store
from fg_tls.host.this_host import names_of_this_host
from fg_tls.issuing.bulletin import Bulletin
from fg_tls.issuing.join_messages import JoinRequest, answer_mac, same_mac
from fg_tls.issuing.join_token import JoinToken
from fg_tls.issuing.leaving import with_proof
from fg_tls.membership.asking import Line
from fg_tls.membership.issuer_connection import IssuerAddress, find_issuer, post
from fg_tls.membership.renewal import agreed, declined
from fg_tls.pki import keys
from fg_tls.pki.certificates import Certificate, key_hash, read_pem
from fg_tls.pki.names import Names
from fg_tls.pki.revocation import LIST_FILE
from fg_tls.pki.revocation import verify as verify_revoked
from fg_tls.pki.signing_requests import signing_request

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]


def join(
    store: Store,
    token: JoinToken,
    *,
    names: Names | None = None,
    force: bool = False,
    clock: Clock = SYSTEM,
    progress: Progress = logger.info,
) -> Identity:
    """Make this host a member of the cluster that `token` is from, under `names` (by default those it has).

    With `force`, a host that belongs to a cluster leaves it; its files are kept beside the TLS directory. If it is the
    same cluster, the issuer ends the old membership.

    Raises:
        JoinError: this host belongs to a cluster, the issuer refused, or what answers is not the issuer.
        PeerError: no issuer can be reached.
        StoreError: the files cannot be written.
    """
    if not force:
        _refuse_second_membership(store)
    issuer = _find(token, clock, progress)
    progress(f"{issuer.endpoint} has the authority that the token names: {issuer.authority.common_name}")
    key, own = keys.new_key(), Names() if names else names_of_this_host()
    wanted = names or own | store.settings().names
    request = _request(token, key, wanted)
    if force and (old := _left(store, issuer.authority)):
        request = with_proof(request, old)
    check_room(store.directory)  # the token counts once, and the answer is nowhere else
    answer = post(issuer, "/v1/join", request.to_json(token.secret), clock=clock)
    identity, bulletin = _checked(answer, token, request, issuer, key, clock())
    progress(f"the certificate is for {identity.certificate.names}")
    given = agreed(names or Names(), identity.certificate)
    _save(store, identity, bulletin, given, force=force, now=clock(), progress=progress)
    # Who gives names has declined those that the host has besides.
    left_out = declined(wanted | names_of_this_host(), identity.certificate)
    store.write_state(declined=left_out, own_hostnames=list(own.hostnames))
    _call(Line(store=store, url=issuer.url, clock=clock))
    return identity


def is_member_of(store: Store, token: JoinToken) -> bool:
    """Whether this host belongs to the cluster that `token` is from.

    Raises:
        StoreError, CertificateError: its files cannot be used.
    """
    return _is_member(store) and any(each.key_hash == token.authority for each in store.cluster_authorities())


def _call(line: Line) -> None:
    """Show the issuer that its answer has arrived: until then, another host may take the place of this one."""
    try:
        line.ask("/v1/state?wait=0")
    except (JoinError, PeerError) as error:
        logger.info("joined, but the issuer does not know yet; a server that runs here will tell it: %s", error)


def _refuse_second_membership(store: Store) -> None:
    if store.authority_path.is_file():
        raise JoinError(
            f"this host has an authority of its own in {store.authority_path.parent}, which its members depend on; "
            "`forgather tls join --force` gives it up, and keeps its files as a backup"
        )
    if store.identity_path.is_file():
        own = store.identity().certificate
        raise JoinError(
            f"this host belongs to the cluster {own.cluster} already (its certificate is in {store.identity_path}); "
            "`forgather tls join --force` leaves it, and keeps its files as a backup"
        )


def _left(store: Store, authority: Certificate) -> Identity | None:
    """The membership that this host leaves, if it is one in the cluster of that authority."""
    try:
        old = store.identity()
    except TlsError:
        return None  # there is none, or its files cannot be used, which is a reason to join again
    return old if old.certificate.cluster == authority.cluster else None


def _find(token: JoinToken, clock: Clock, progress: Progress) -> IssuerAddress:
    """The first endpoint of a token where its authority is at home."""
    failures: list[JoinError | PeerError] = []
    for endpoint in token.endpoints:
        progress(f"asking {endpoint} for its authority")
        try:
            return find_issuer(endpoint, token.authority, clock=clock)
        except (JoinError, PeerError) as error:
            failures.append(error)
    # A refusal says more than silence elsewhere.
    raise next((each for each in failures if isinstance(each, JoinError)), failures[0])


def _request(token: JoinToken, key: ec.EllipticCurvePrivateKey, names: Names) -> JoinRequest:
    return JoinRequest(
        token_id=token.id,
        authority=token.authority,
        csr=signing_request(key),
        names=(*names.hostnames, *map(str, names.addresses)),
        hostname=socket.gethostname(),
    )


def _checked(
    answer: dict[str, Any],
    token: JoinToken,
    request: JoinRequest,
    issuer: IssuerAddress,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> tuple[Identity, Bulletin]:
    """Certificate and bulletin of an answer, when everything in it holds together."""
    mac = answer.pop("mac", None)
    if not isinstance(mac, str) or not same_mac(mac, answer_mac(token.secret, request.mac(token.secret), answer)):
        raise JoinError(f"the answer of {issuer.endpoint} is not by somebody who knows the token; nothing was kept")
    bulletin = Bulletin.from_json(answer)
    if not bulletin.issuers:
        bulletin = replace(bulletin, issuers=(issuer.url,))
    try:
        certificate = read_pem(str(answer.get("certificate")).encode(), f"the answer of {issuer.endpoint}")[0]
    except CertificateError as error:
        raise JoinError(f"{error}; nothing was kept") from error
    problem = next(_problems(certificate, bulletin, issuer.authority, key, now), None)
    if problem is not None:
        raise JoinError(f"{issuer.endpoint} sent a certificate that cannot be used: {problem}; nothing was kept")
    if bulletin.revoked:
        verify_revoked(bulletin.revoked, bulletin.authorities, f"the list of {issuer.endpoint}")
    return Identity(key=key, chain=(certificate,)), bulletin


def _problems(
    certificate: Certificate,
    bulletin: Bulletin,
    pinned: Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> Iterator[str]:
    if certificate.key_hash != key_hash(key.public_key()):
        yield "it is for another key"
    if certificate.member is None or certificate.cluster != pinned.cluster:
        yield "it is not for a member of this cluster"
    if not any(certificate.issued_by(each) for each in bulletin.authorities):
        yield "none of the authorities that came with it has signed it"
    if not all(each.is_authority and each.cluster == pinned.cluster for each in bulletin.authorities):
        yield "an authority of another cluster came with it"
    if not certificate.valid_at(now):
        yield f"it holds from {certificate.not_before:%Y-%m-%d %H:%M} UTC, and here it is {now:%Y-%m-%d %H:%M} UTC"


def _save(
    store: Store,
    identity: Identity,
    bulletin: Bulletin,
    named: Names,
    *,
    force: bool,
    now: datetime,
    progress: Progress,
) -> None:
    """Make this host a member; `named` are names that a person has given, which stay whatever it is called."""
    with store.writing():
        wanted = store.settings().names | named
        if not force:
            _refuse_second_membership(store)  # another join may have been quicker
        elif _is_member(store):
            backup = _set_aside(store.directory, now)
            progress(f"what was in {store.directory} is in {backup}")
        store.save_authorities(bulletin.authorities)
        _save_revoked(store, bulletin.revoked)
        store.save_settings(
            issuers=list(bulletin.issuers),
            hostnames=list(wanted.hostnames),
            addresses=list(map(str, wanted.addresses)),
        )
        store.save_identity(identity)


def _is_member(store: Store) -> bool:
    return store.authority_path.is_file() or store.identity_path.is_file()


def _save_revoked(store: Store, data: bytes) -> None:
    if data:
        store.write(LIST_FILE, data)
    else:
        store.revoked_path.unlink(missing_ok=True)  # of a join to another cluster that was broken off


def _set_aside(directory: Path, now: datetime) -> Path:
    """Move a directory to a name beside it; gives the new name.

    Raises:
        StoreError: it cannot be moved.
    """
    backup = directory.with_name(f"{directory.name}.backup-{now:%Y%m%d-%H%M%S}")
    try:
        directory.rename(backup)
    except OSError as error:
        raise StoreError(f"cannot keep {directory} as {backup}: {error.strerror}; move it yourself") from error
    return backup
