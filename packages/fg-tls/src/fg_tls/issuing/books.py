"""The issuer's books: join tokens that are out, and every member with what was issued to it.

One JSON file, `ca/books.json`, read and replaced whole under a lock. A household has tens of members and changes them a
few times a day, so there is nothing that a database would do faster; a file can be read by a person, is copied with the
authority's key, and after a crash is the old one or the new one. Secrets of join tokens are in it until they are used,
which is why only its owner can read it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from fg_tls.errors import StoreError
from fg_tls.host.locks import FileLock
from fg_tls.host.safe_files import read_private
from fg_tls.host.store import Store
from fg_tls.issuing.book_entries import MemberEntry, TokenEntry
from fg_tls.pki.certificates import Certificate

_FILE: Final = "ca/books.json"
_VERSION: Final = 1
_SEEN_EVERY: Final = timedelta(minutes=10)  # a member that calls every 25 s need not be written down each time
_TOKENS_KEPT: Final = timedelta(days=1)  # after they ran out: late users are told so


@dataclass(slots=True, kw_only=True)
class Ledger:
    """What the books say; changed within `Books.change`."""

    tokens: dict[str, TokenEntry] = field(default_factory=dict)
    members: dict[str, MemberEntry] = field(default_factory=dict)
    rotation: dict[str, Any] = field(default_factory=dict)

    def record_issue(self, certificate: Certificate, *, now: datetime, hostname: str = "") -> MemberEntry:
        """Write down a certificate under its member, who is new or has been issued others.

        Who is new has not joined over the network, and needs not call to be believed.
        """
        assert certificate.member is not None, "the authority issues to members only"
        known = self.members.get(certificate.member.id)
        entry = known or MemberEntry.joined_at(now, certificate.member, hostname=hostname).with_shown(certificate)
        self.members[entry.id] = entry.with_certificate(certificate, now)
        return self.members[entry.id]

    def end_unclaimed(self, hostnames: Collection[str], *, now: datetime) -> list[MemberEntry]:
        """Revoke members that have never called since they joined, and hold one of these names; gives those.

        Whose answer was lost asks again with another token, and must not be in its own way.
        """
        names = {*hostnames} - {"localhost"}
        found = [each for each in self.members.values() if each.is_unclaimed(now) and names & {*each.names.hostnames}]
        self.members |= {each.id: replace(each, revoked=now) for each in found}
        return found


class Books:
    """The books of the authority in `store`. Every method is one transaction; processes and threads take turns."""

    def __init__(self, store: Store) -> None:
        self.path = store.directory / _FILE
        self._store = store
        # A lock of its own: who waits for the books must not hold up a server that reads or renews a certificate.
        self._lock = FileLock(self.path.with_suffix(".lock"))

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self) -> Ledger:
        """What the books say now; empty before the first entry.

        Raises:
            StoreError: the file cannot be read, or is not ours.
        """
        if not self.path.exists():
            return Ledger()
        try:
            return _ledger(json.loads(read_private(self.path)))
        except StoreError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{self.path} is damaged ({error}); restore it from a backup, or move it away: hosts keep their "
                "certificates, but join tokens that are out and revoked members are forgotten"
            ) from error

    def members(self) -> tuple[MemberEntry, ...]:
        """Everyone who was ever issued a certificate, by date of joining."""
        return tuple(sorted(self.read().members.values(), key=lambda each: each.joined))

    def member(self, member_id: str) -> MemberEntry | None:
        """The member of that id."""
        return self.read().members.get(member_id)

    def rotation(self) -> dict[str, Any]:
        """How far the replacement of the authority is; {} when none is under way."""
        return self.read().rotation

    # --- writing -----------------------------------------------------------------------------------------------------

    @contextmanager
    def change(self) -> Iterator[Ledger]:
        """The books, to be changed by nobody else; written when the block ends, unless it raises. Not to be nested.

        Raises:
            NotProvisionedError: the authority is elsewhere.
            StoreError: the books cannot be read or written.
        """
        self._store.authority()
        with self._lock.held():
            ledger = self.read()
            before = _text(ledger)
            yield ledger
            after = _text(ledger)
            if after != before:
                self._store.write(_FILE, after.encode(), mode=0o600)

    def record_minted(self, certificate: Certificate, *, now: datetime, hostname: str) -> None:
        """Write down a certificate that is given out as files; its host trusts whom those name, and reports nothing."""
        with self.change() as ledger:
            entry = ledger.record_issue(certificate, now=now, hostname=hostname)
            phase = ledger.rotation.get("phase", 0)
            ledger.members[entry.id] = replace(entry, minted=True, phase=phase)

    def add_token(self, entry: TokenEntry, *, now: datetime) -> None:
        """Write down a token that is handed out; those long gone are struck out."""
        with self.change() as ledger:
            kept = {each.id: each for each in ledger.tokens.values() if now - each.expires < _TOKENS_KEPT}
            ledger.tokens = kept | {entry.id: entry}

    def take_back(self, token_id: str) -> bool:
        """Strike out a token unless somebody has used it; whether somebody has."""
        with self.change() as ledger:
            token = ledger.tokens.get(token_id)
            used = token is not None and token.used is not None
            if not used:
                ledger.tokens.pop(token_id, None)
            return used

    def record_issue(self, certificate: Certificate, *, now: datetime, hostname: str = "") -> MemberEntry:
        """Write down a certificate that the authority has signed; do this before handing it out."""
        with self.change() as ledger:
            return ledger.record_issue(certificate, now=now, hostname=hostname)

    def seen(self, certificate: Certificate, *, now: datetime, phase: int | None = None) -> None:
        """Note that a member has called with `certificate`, and which phase of a replaced authority it has reached."""
        known = self.member(certificate.member.id) if certificate.member else None
        if known is None or known.is_behind(certificate):
            return
        recent = (
            not known.minted and abs(now - known.last_seen) < _SEEN_EVERY
        )  # a clock that was ahead must not leave it seen for ever
        if recent and phase in (None, known.phase) and known.shown == certificate.serial:
            return
        with self.change() as ledger:
            entry = ledger.members[known.id].with_shown(certificate)
            reached = entry.phase if phase is None else phase
            ledger.members[known.id] = replace(entry, last_seen=now, phase=reached)

    def revoke(self, member_id: str, *, now: datetime) -> tuple[int, ...]:
        """Refuse a member from now on; gives the serials of its certificates that have not run out.

        Raises:
            KeyError: no such member.
        """
        with self.change() as ledger:
            entry = ledger.members[member_id]
            ledger.members[member_id] = replace(entry, revoked=entry.revoked or now)
            return tuple(each.serial for each in entry.issued if each.not_after > now)

    def set_rotation(self, rotation: dict[str, Any]) -> None:
        """Write down how far the replacement of the authority is; {} ends it."""
        with self.change() as ledger:
            ledger.rotation = rotation


def _ledger(data: dict[str, Any]) -> Ledger:
    if data["version"] != _VERSION:
        raise ValueError(f"version {data['version']}, this program knows version {_VERSION}")
    tokens = [TokenEntry.from_json(each) for each in data["tokens"]]
    members = [MemberEntry.from_json(each) for each in data["members"]]
    return Ledger(
        tokens={each.id: each for each in tokens},
        members={each.id: each for each in members},
        rotation=dict(data["rotation"]),
    )


def _text(ledger: Ledger) -> str:
    data = {
        "version": _VERSION,
        "tokens": [each.to_json() for each in ledger.tokens.values()],
        "members": [each.to_json() for each in ledger.members.values()],
        "rotation": ledger.rotation,
    }
    return json.dumps(data, indent=1) + "\n"
