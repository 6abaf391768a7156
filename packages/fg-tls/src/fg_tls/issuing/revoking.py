"""Refusing a member from now on: its entry in the books first, then the list that everybody reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import JoinError, StoreError
from fg_tls.host.store import Store
from fg_tls.issuing.book_entries import MemberEntry
from fg_tls.issuing.books import Books
from fg_tls.pki import revocation
from fg_tls.pki.revocation import LIST_FILE, Revoked

_KEPT: Final = timedelta(
    days=1
)  # after a certificate ran out: clocks differ, and RFC 5280 (3.3) asks for one more list
_SERIAL_DIGITS: Final = frozenset("0123456789abcdef:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Who was revoked, and how many of its certificates had not run out."""

    member: str
    hostname: str
    certificates: int


def revoke(store: Store, who: str, clock: Clock = SYSTEM) -> Revocation:
    """Refuse a member, given by its id, a host name, or the serial number of a certificate of it (hexadecimal).

    It can neither renew nor come back by proof of its key. After a crash in the middle the same command goes on.

    Raises:
        NotProvisionedError: the authority is on another host.
        JoinError: nobody or several are called so, or it is this host.
        StoreError: a file cannot be written.
    """
    store.authority()
    books = Books(store)
    entry = _the_one(books.members(), who)
    own = store.identity().certificate.member
    if own is not None and own.id == entry.id:
        raise JoinError(
            f"{who} is the host of the authority itself, without which nobody could renew; replace the authority "
            "with `forgather tls rotate-ca --compromised`, or begin anew with `forgather tls init --force`"
        )
    serials = books.revoke(entry.id, now=clock())
    publish(store, books, clock)
    return Revocation(member=entry.id, hostname=entry.hostname, certificates=len(serials))


def publish(store: Store, books: Books, clock: Clock) -> bool:
    """Sign a new list if the one there is does not say what the books say; whether it did not.

    Raises:
        NotProvisionedError: the authority is on another host.
        StoreError: a file cannot be read or written.
    """
    with store.writing():
        now, authority = clock(), store.authority()
        wanted = _entries(books.members(), now)
        present, data = _published(store), revocation.read_bytes(store)
        if present.serials == wanted.keys() and (not data or revocation.signed_by(data, authority.certificate)):
            return False
        store.write(LIST_FILE, revocation.sign(authority, wanted, number=present.number + 1, now=now))
    return True


def _entries(members: tuple[MemberEntry, ...], now: datetime) -> dict[int, datetime]:
    """Serial numbers to be listed, with the times from which they were refused."""
    return {
        each.serial: member.revoked
        for member in members
        if member.revoked is not None
        for each in member.issued
        if each.not_after > now - _KEPT
    }


def _published(store: Store) -> Revoked:
    """What the present list says; one that nobody of ours has signed says nothing, and is replaced."""
    try:
        return revocation.read(store)
    except StoreError:
        return revocation.NONE_REVOKED


def _the_one(members: tuple[MemberEntry, ...], who: str) -> MemberEntry:
    found = [each for each in members if _is_called(each, who.strip().lower())]
    live = [each for each in found if each.revoked is None] or found
    if not live:
        known = ", ".join(f"{each.hostname} ({each.id})" for each in members if each.revoked is None)
        raise JoinError(f"no member is called {who!r}; the members are {known or 'none'}")
    if len(live) > 1:
        raise JoinError(
            f"several members are called {who!r}; give one of the ids {', '.join(each.id for each in live)}"
        )
    return live[0]


def _is_called(member: MemberEntry, who: str) -> bool:
    if who in (member.id, member.hostname.lower(), *member.names.hostnames, *map(str, member.names.addresses)):
        return who not in ("localhost", "127.0.0.1", "::1")
    digits = who.replace(":", "").removeprefix("0x").lstrip("0")
    serial = set(who.removeprefix("0x")) <= _SERIAL_DIGITS and len(digits) > 8
    return serial and any(f"{each.serial:x}" == digits for each in member.issued)
