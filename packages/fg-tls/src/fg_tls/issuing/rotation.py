"""Replacing the authority while every member can talk to every other one, in three phases.

    1  trust    everybody trusts the successor too; the old authority still signs
    2  reissue  the successor signs, and everybody gets a certificate from it; the old one's key is gone
    3  drop     everybody stops trusting the old authority

`ca/books.json` says which phase it is. The files of this host follow in this order, each if it is not right yet; going
on makes up for what is missing:

    phase      file                                      what a crash right after it leaves
    (none)     ca/next.pem, with the successor's key     a successor of which nobody knows; the next attempt takes it
    1 trust    ca/successions.json                       members that trust the old authority alone, as before
               authorities.pem: old, new                 this host, which trusts both, not in the books as such
    2 reissue  authorities.pem: new, old                 the old authority, which still signs
               ca/authority.pem: new                     a revocation list by the old one, which is still trusted
               revoked.crl, signed by the new one        the new key in two files
               ca/next.pem is removed                    this host with a certificate of the old authority
               identity.pem, by the new one              this host not in the books as one that has renewed
    3 drop     authorities.pem: new                      this host not in the books as one that has dropped the old one

A phase begins when every live member that can report has reported the one before: whoever was left behind would be
locked out. `rotate` goes as far as that allows, and is called again later, by a person or by the keeper of this host.
Every step is written down before it is carried out and can be carried out twice, so that a crash needs no repair.
"""

from __future__ import annotations

import json
import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import StoreError
from fg_tls.host.locks import FileLock
from fg_tls.host.safe_files import read_private
from fg_tls.host.store import Store
from fg_tls.issuing import revoking
from fg_tls.issuing.book_entries import MemberEntry
from fg_tls.issuing.books import Books, Ledger
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Certificate, read_pem
from fg_tls.pki.succession import SUCCESSIONS, Succession, successions

if TYPE_CHECKING:
    from fg_tls.issuing.issuer import Issuer

logger = logging.getLogger(__name__)

TRUST, REISSUE, DROP = 1, 2, 3
PHASES: Final = {TRUST: "trust", REISSUE: "reissue", DROP: "drop"}
_LIVE: Final = timedelta(days=30)
_PRESENT: Final = timedelta(minutes=30)  # seen since then: it will report soon, and is never left behind
_NEXT: Final = "ca/next.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """How far a replacement is, as the books say it."""

    phase: int
    predecessor: Certificate
    successor: Certificate
    compromised: bool  # the old key is in wrong hands: its word for the successor is worth nothing
    leave_behind: bool = False

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        (predecessor,) = read_pem(value["predecessor"].encode(), "the books")
        (successor,) = read_pem(value["successor"].encode(), "the books")
        return cls(
            phase=value["phase"],
            predecessor=predecessor,
            successor=successor,
            compromised=value["compromised"],
            leave_behind=value["leave_behind"],
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "phase": self.phase,
            "predecessor": self.predecessor.pem.decode(),
            "successor": self.successor.pem.decode(),
            "compromised": self.compromised,
            "leave_behind": self.leave_behind,
        }

    @property
    def authorities(self) -> tuple[Certificate, ...]:
        """Whom everybody trusts in this phase, the one that signs first."""
        both = {TRUST: (self.predecessor, self.successor), REISSUE: (self.successor, self.predecessor)}
        return both.get(self.phase, (self.successor,))


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationReport:
    """Where a replacement stands: `waiting` have not reported the phase, `away` are those of them not seen lately.

    `minted` have certificates of the old authority that were given out as files. They cannot report, nobody waits for
    them, and they must be minted anew.
    """

    phase: str
    finished: bool
    waiting: tuple[str, ...] = ()
    away: tuple[str, ...] = ()
    minted: tuple[str, ...] = ()


def rotate(store: Store, clock: Clock = SYSTEM, *, force: bool = False, compromised: bool = False) -> RotationReport:
    """Begin to replace the authority, or go on with it, as far as the members have followed.

    With `force`, members that are away are left behind; those that are here are always waited for. Members that slept
    through a replacement find the successor by a signed statement, unless the old key was `compromised`: then they
    have to join again.

    Raises:
        NotProvisionedError: the authority is on another host.
        StoreError: a file is missing or cannot be written.
    """
    books = Books(store)
    with _taking_turns(store):
        rotation = _current(books) or _begun(store, books, clock)
        rotation = replace(
            rotation,
            compromised=rotation.compromised or compromised,
            leave_behind=rotation.leave_behind or force,
        )
        books.set_rotation(rotation.to_json())
        return _advanced(store, books, rotation, clock)


def proceed(store: Store, clock: Clock = SYSTEM) -> RotationReport | None:
    """Go on with a replacement that was begun; None when there is none.

    Raises:
        StoreError: a file is missing or cannot be written.
    """
    books = Books(store)
    if not books.rotation():
        return None
    with _taking_turns(store):
        rotation = _current(books)
        return _advanced(store, books, rotation, clock) if rotation else None


def standing(store: Store, clock: Clock = SYSTEM) -> RotationReport | None:
    """Where a replacement is, without going on with it; None when there is none.

    Raises:
        StoreError: a file cannot be read.
    """
    books = Books(store)
    rotation = _current(books)
    return _report(books.read(), rotation, clock()) if rotation else None


def note(issuer: Issuer, certificate: Certificate, carried_out: tuple[Certificate, ...] = ()) -> None:
    """Write down that a member has called, and with which authorities it has `carried_out` the bulletin.

    Those must be the authorities of the phase. A phase is in the books a moment before it is in the bulletin, and who
    has carried out the one before has not yet heard of it.
    """
    rotation = _current(issuer.books)
    if rotation is None or carried_out != rotation.authorities:
        return issuer.books.seen(certificate, now=issuer.clock())
    done = rotation.phase == TRUST or certificate.issued_by(rotation.successor)
    issuer.books.seen(certificate, now=issuer.clock(), phase=rotation.phase if done else None)


def accepted(store: Store) -> tuple[Certificate, ...]:
    """The authorities whose certificates prove a membership: those of now, and those that were replaced."""
    return (*store.cluster_authorities(), *(each.predecessor for each in successions(store)))


def _taking_turns(store: Store) -> AbstractContextManager[None]:
    """A person and the keeper may go on with one replacement at the same time; the later one reads where it is then."""
    store.authority()
    return FileLock(store.authority_path.with_name("rotation.lock")).held()


def _begun(store: Store, books: Books, clock: Clock) -> Rotation:
    """The first phase, written down; nobody's report from an earlier replacement counts for this one."""
    old = store.authority()
    new = _successor(store, old, clock())
    rotation = Rotation(phase=TRUST, predecessor=old.certificate, successor=new.certificate, compromised=False)
    with books.change() as ledger:
        ledger.members = {each.id: replace(each, phase=0) for each in ledger.members.values()}
        ledger.rotation = rotation.to_json()
    logger.info("replacing the authority %s", old.certificate.common_name)
    return rotation


def _successor(store: Store, old: Authority, now: datetime) -> Authority:
    """The next authority; that of an attempt which was interrupted before it was written down, if there is one."""
    path = store.directory / _NEXT
    if path.exists():
        return Authority.from_pem(read_private(path), str(path))
    base = old.certificate.common_name.partition(" since ")[0]
    new = Authority.create(f"{base} since {now:%Y-%m-%d}", old.constraints, now=now, cluster=old.cluster)
    store.write(_NEXT, new.pem(), mode=0o600)
    return new


def _advanced(store: Store, books: Books, rotation: Rotation, clock: Clock) -> RotationReport:
    while True:
        _carry_out(store, books, rotation, clock)
        report = _report(books.read(), rotation, clock())
        left_behind = report.away if rotation.leave_behind else ()
        if set(report.waiting) - set(left_behind):
            return report
        if rotation.phase == DROP:
            books.set_rotation({})
            logger.info("the authority was replaced by %s", rotation.successor.common_name)
            return replace(report, finished=True)
        rotation = replace(rotation, phase=rotation.phase + 1)
        books.set_rotation(rotation.to_json())


def _carry_out(store: Store, books: Books, rotation: Rotation, clock: Clock) -> None:
    """Make the files of this host, and its own certificate, those of the phase."""
    _state_succession(store, rotation)
    if rotation.phase >= REISSUE and store.authority().certificate != rotation.successor:
        store.save_authorities(rotation.authorities)
        store.save_authority(_prepared(store, rotation))
    revoking.publish(store, books, clock)
    if store.cluster_authorities() != rotation.authorities:
        store.save_authorities(rotation.authorities)
    if rotation.phase >= REISSUE:
        (store.directory / _NEXT).unlink(missing_ok=True)
    _follow_here(store, books, rotation, clock)


def _prepared(store: Store, rotation: Rotation) -> Authority:
    path = store.directory / _NEXT
    if not path.exists():
        raise StoreError(f"{path} is missing, which holds the key of the next authority; restore it from a backup")
    found = Authority.from_pem(read_private(path), str(path))
    if found.certificate != rotation.successor:
        raise StoreError(f"{path} is not the next authority that members were told of; restore it from a backup")
    return found


def _follow_here(store: Store, books: Books, rotation: Rotation, clock: Clock) -> None:
    """The host of the authority is a member like the others, and nobody has to tell it."""
    from fg_tls.membership.renewal import renew

    own = store.identity().certificate
    if rotation.phase >= REISSUE and not own.issued_by(rotation.successor):
        own = renew(store, clock).certificate
    if own.member is not None:
        if books.member(own.member.id) is None:
            books.record_issue(own, now=clock(), hostname=next(iter(own.names.hostnames), ""))
        books.seen(own, now=clock(), phase=rotation.phase)


def _state_succession(store: Store, rotation: Rotation) -> None:
    """Publish the old authority's word for the new one, or withdraw it when its key was compromised."""
    known = successions(store)
    others = [each for each in known if each.predecessor != rotation.predecessor]
    if rotation.compromised:
        wanted = others
    elif rotation.phase == TRUST and len(others) == len(known):
        wanted = [*others, Succession.sign(store.authority(), rotation.successor)]
    else:
        return
    if len(wanted) != len(known):
        text = json.dumps([each.to_json() for each in wanted], indent=1)
        store.write(SUCCESSIONS, text.encode() + b"\n", mode=0o600)


def _report(ledger: Ledger, rotation: Rotation, now: datetime) -> RotationReport:
    live = [each for each in ledger.members.values() if _live(each, now)]
    waiting = [each for each in live if each.phase < rotation.phase and not each.minted]
    away = [each for each in waiting if now - each.last_seen > _PRESENT]
    return RotationReport(
        phase=PHASES[rotation.phase],
        finished=False,
        waiting=tuple(map(_called, waiting)),
        away=tuple(map(_called, away)),
        minted=tuple(_called(each) for each in live if each.minted and each.phase < REISSUE),
    )


def _live(member: MemberEntry, now: datetime) -> bool:
    return member.revoked is None and now - member.last_seen <= _LIVE


def _called(member: MemberEntry) -> str:
    return f"{member.hostname} ({member.id})" if member.hostname else member.id


def _current(books: Books) -> Rotation | None:
    found = books.rotation()
    return Rotation.from_json(found) if found else None
