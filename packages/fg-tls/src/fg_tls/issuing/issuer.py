"""The issuer: the authority's key, its books, and the rules by which it signs.

What comes over the network is judged here, without any HTTP; `issuer_app` carries it. A request that is not admitted
changes nothing but the count of wrong guesses.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import CertificateError, JoinError
from fg_tls.host.store import Store
from fg_tls.issuing.book_entries import MemberEntry, TokenEntry
from fg_tls.issuing.books import Books, Ledger
from fg_tls.issuing.bulletin import Bulletin
from fg_tls.issuing.granting import grant, plain
from fg_tls.issuing.join_messages import JoinRequest, answer_mac, same_mac
from fg_tls.issuing.join_token import JoinToken
from fg_tls.issuing.leaving import end_previous
from fg_tls.issuing.revoking import publish
from fg_tls.pki import revocation
from fg_tls.pki.certificates import Certificate, Member, Role
from fg_tls.pki.names import Address, Names, parse_names
from fg_tls.pki.signing_requests import requested_key
from fg_tls.pki.succession import successions

logger = logging.getLogger(__name__)

TOKEN_LIFETIME: Final = timedelta(minutes=15)
_LONGEST_LIFETIME: Final = timedelta(days=7)  # of a secret that lies about until it is used
_NO_NAMES: Final = Names()


class Issuer:
    """Hands out join tokens and certificates on the host of the authority."""

    def __init__(self, store: Store, clock: Clock = SYSTEM) -> None:
        self.store = store
        self.clock = clock
        self.books = Books(store)

    # --- join tokens -------------------------------------------------------------------------------------------------

    def create_token(
        self,
        *,
        endpoints: Sequence[str],
        role: Role = "member",
        names: Names = _NO_NAMES,
        lifetime: timedelta = TOKEN_LIFETIME,
    ) -> JoinToken:
        """A token for one host, and its entry in the books. With `names`, the host gets those and no others.

        Raises:
            NotProvisionedError: there is no authority here.
            CertificateError: the authority may not vouch for one of `names`.
            JoinError: it would hold for too long.
        """
        if lifetime > _LONGEST_LIFETIME:
            raise JoinError(
                f"a join token holds for {_LONGEST_LIFETIME.days} days at most; make one when a host is to join"
            )
        if self.store.authority().constraints.permits(names) != names:
            raise CertificateError(
                f"the authority may not vouch for every one of {names}; it vouches for private addresses and domains, "
                "and for names given to `forgather tls init --hostname NAME`"
            )
        self._enrol_own_host()
        now = self.clock()
        token = JoinToken.create(authority=self.pinned().key_hash, endpoints=endpoints)
        entry = TokenEntry(id=token.id, secret=token.secret, role=role, names=names, expires=now + lifetime)
        self.books.add_token(entry, now=now)
        return token

    def pinned(self) -> Certificate:
        """The authority that a joining host can check this host by: the one that vouches for its certificate."""
        own = self.store.identity().certificate
        return next(
            (each for each in self.store.cluster_authorities() if own.issued_by(each)),
            self.store.authority().certificate,
        )

    # --- joining -----------------------------------------------------------------------------------------------------

    def announcement(self) -> dict[str, Any]:
        """What anybody may know: the authorities, to be compared with the hash in a token, and the time here.

        A host that was revoked is anybody too, and finds itself in the list.
        """
        authorities = b"".join(each.pem for each in self.store.cluster_authorities())
        return {
            "authorities": authorities.decode("ascii"),
            "successions": [each.to_json() for each in successions(self.store)],
            "revoked": revocation.read_bytes(self.store).decode("ascii"),
            "time": self.clock().isoformat(),
        }

    def join(self, body: bytes, came_from: Address | None = None) -> tuple[str, dict[str, Any]]:
        """The id of the token that a request used up, and the answer to it.

        The token is used up, durably, before the answer exists: after a crash in between nobody has joined, and the
        token holds no more.

        Raises:
            JoinError: the token does not hold, the request is not by somebody who knows it, or a name is taken.
            CertificateError, HostNameError: what it asks for is malformed.
        """
        request, mac = JoinRequest.from_json(body, authority=self.pinned().key_hash)
        secret = self._authenticated(request, mac)
        public_key = requested_key(request.csr)
        with self.books.change() as ledger:
            now = self.clock()
            token = _usable(ledger, request.token_id, now)
            member = Member(cluster=self.store.authority().cluster, role=token.role, id=str(uuid.uuid4()))
            wanted = parse_names(request.names)
            left = end_previous(request, ledger, self.store, now)
            ended = ledger.end_unclaimed(token.names.hostnames or wanted.hostnames, now=now)
            ledger.members[member.id] = MemberEntry.joined_at(now, member, hostname=request.hostname, bound=token.names)
            certificate = self._issued(ledger, public_key, member, wanted, came_from)
            ledger.tokens[token.id] = token.spent(now)
        if left is not None:
            logger.info("member %s has left and joined again as member %s", left.id, member.id)
        self._warn_of(ended, by=member.id)
        if left is not None or ended:
            publish(self.store, self.books, self.clock)
        answer = self.answer(certificate)
        return token.id, answer | {"mac": answer_mac(secret, mac, answer)}

    def _warn_of(self, ended: Sequence[MemberEntry], *, by: str) -> None:
        for each in ended:
            logger.warning(
                "member %s (%r) joined on %s, has never called with its certificate, and is revoked: member %s has "
                "joined under its name",
                each.id,
                each.hostname,
                f"{each.joined:%Y-%m-%d at %H:%M} UTC",
                by,
            )

    def _authenticated(self, request: JoinRequest, mac: str) -> bytes:
        """The secret of the token, when the request was made by somebody who knows it; a wrong guess is counted."""
        # Without the lock, so that nobody who makes up ids can hold up those who need it.
        token = _usable(self.books.read(), request.token_id, self.clock())
        if same_mac(mac, request.mac(token.secret)):
            return token.secret
        with self.books.change() as ledger:
            ledger.tokens[token.id] = ledger.tokens[token.id].guessed_at()
        raise JoinError(
            "the join token is not the one that was handed out (wrong secret); copy the whole line once more"
        )

    # --- certificates ------------------------------------------------------------------------------------------------

    def issue(
        self,
        public_key: ec.EllipticCurvePublicKey,
        *,
        member: Member,
        wanted: Names,
        after: Certificate | None = None,
        came_from: Address | None = None,
    ) -> Certificate:
        """The next certificate of a member, under those of the wanted names that it may have; it is in the books.

        `after` is the one that the member has shown to get it.

        Raises:
            JoinError: the member gets none after that one, or another live member holds one of the host names.
        """
        with self.books.change() as ledger:
            known = ledger.members.get(member.id)
            if known is not None and (refusal := known.refusal(after, self.clock())):
                raise JoinError(refusal)
            if known is not None and after is not None:
                ledger.members[member.id] = known.with_shown(after)
            return self._issued(ledger, public_key, member, wanted, came_from)

    def sign(self, public_key: ec.EllipticCurvePublicKey, *, member: Member, names: Names) -> Certificate:
        """A certificate that the books do not know yet; record it before it leaves this host."""
        return self.store.authority().issue(public_key, member=member, names=names, now=self.clock())

    def answer(self, certificate: Certificate) -> dict[str, Any]:
        """A certificate for its owner, with everything that a member keeps."""
        return {"certificate": certificate.pem.decode("ascii")} | Bulletin.of(self.store).to_json()

    def _issued(
        self,
        ledger: Ledger,
        public_key: ec.EllipticCurvePublicKey,
        member: Member,
        wanted: Names,
        came_from: Address | None,
    ) -> Certificate:
        names = self._granted(ledger, member, wanted, came_from)
        certificate = self.sign(public_key, member=member, names=names)
        ledger.record_issue(certificate, now=self.clock())
        return certificate

    def _granted(self, ledger: Ledger, member: Member, wanted: Names, came_from: Address | None) -> Names:
        now, known = self.clock(), ledger.members.get(member.id)
        return grant(
            wanted,
            role=member.role,
            others=[each for each in ledger.members.values() if each.id != member.id and each.is_live(now)],
            constraints=self.store.authority().constraints,
            bound=known.bound if known is not None else _NO_NAMES,
            came_from=None if self._is_ours(came_from) else came_from,
        )

    def _is_ours(self, address: Address | None) -> bool:
        """Whether a caller only seems to be this host, as containers and tunnels do.

        With our address in its certificate it could play the issuer to every other member.
        """
        return address is not None and str(plain(address)) in self.store.identity().certificate.names

    def _enrol_own_host(self) -> None:
        """Have the certificate of this host in the books too, so that nobody else gets its names."""
        own = self.store.identity().certificate
        if own.member is not None and self.books.member(own.member.id) is None:
            self.books.record_issue(own, now=self.clock(), hostname=next(iter(own.names.hostnames), ""))


def _usable(ledger: Ledger, token_id: str, now: datetime) -> TokenEntry:
    token = ledger.tokens.get(token_id)
    refusal = "nobody here handed it out, or it was taken back" if token is None else token.refusal(now)
    if token is None or refusal is not None:
        raise JoinError(
            f"the join token does not hold: {refusal}; make a new one with `forgather tls join-token` on the host of "
            "the authority"
        )
    return token
