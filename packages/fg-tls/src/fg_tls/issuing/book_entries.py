"""The two kinds of entries in the issuer's books, and how they are written in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from fg_tls.pki.certificates import ROLES, Certificate, Member, Role
from fg_tls.pki.names import Names, parse_names

# How long after its last certificate ran out a member may still come back, and nobody else gets its names.
RETURN_PERIOD: Final = timedelta(days=90)
# How long a host may take to call with the certificate that it joined for, before its names are free for others.
CLAIM_PERIOD: Final = timedelta(minutes=1)
MOST_WRONG_MACS: Final = 5
_MOST_CERTIFICATES: Final = 1000  # of one member, so that none can fill the books and the revocation list
_NO_NAMES: Final = Names()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEntry:
    """A join token that was handed out."""

    id: str
    secret: bytes = field(repr=False)  # empty as soon as it is of no more use
    role: Role
    names: Names  # the names its user gets; none given: those it asks for
    expires: datetime
    used: datetime | None = None
    wrong_macs: int = 0

    def refusal(self, now: datetime) -> str | None:
        """Why this token does not admit anybody now; None when it does."""
        if self.used is not None:
            return f"it was used on {self.used:%Y-%m-%d at %H:%M:%S} UTC, and holds once"
        if self.wrong_macs >= MOST_WRONG_MACS:
            return f"it was tried {self.wrong_macs} times with a wrong secret"
        if now >= self.expires:
            return f"it ran out on {self.expires:%Y-%m-%d at %H:%M:%S} UTC"
        return None

    def spent(self, now: datetime) -> Self:
        return replace(self, used=now, secret=b"")

    def guessed_at(self) -> Self:
        """After one more wrong MAC; the last one that is allowed ends the token."""
        wrong = self.wrong_macs + 1
        return replace(self, wrong_macs=wrong, secret=b"" if wrong >= MOST_WRONG_MACS else self.secret)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "secret": self.secret.hex(),
            "role": self.role,
            "names": _names_to_json(self.names),
            "expires": self.expires.isoformat(),
            "used": _time_to_json(self.used),
            "wrong_macs": self.wrong_macs,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(
            id=data["id"],
            secret=bytes.fromhex(data["secret"]),
            role=_role(data["role"]),
            names=parse_names(data["names"]),
            expires=datetime.fromisoformat(data["expires"]),
            used=_time(data["used"]),
            wrong_macs=int(data["wrong_macs"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that was issued, by what is needed to revoke it."""

    serial: int
    not_after: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEntry:
    """A host that was issued certificates."""

    id: str
    role: Role
    hostname: str  # what it calls itself, for people
    names: Names  # of its newest certificate
    bound: Names = _NO_NAMES  # those that a person has set for it; none: those it asks for
    issued: tuple[Issued, ...]  # the newest one last
    shown: int | None = (
        None  # serial of the newest one that it has called with; None: it has not called since it joined
    )
    joined: datetime
    last_seen: datetime
    phase: int = 0  # of the authority's replacement, as the member last reported
    minted: bool = False  # its certificate was given out as files, and nobody has called with it: it reports nothing
    revoked: datetime | None = None

    @classmethod
    def joined_at(cls, now: datetime, member: Member, *, hostname: str, bound: Names = _NO_NAMES) -> Self:
        return cls(
            id=member.id,
            role=member.role,
            hostname=hostname,
            names=_NO_NAMES,
            bound=bound,
            issued=(),
            joined=now,
            last_seen=now,
        )

    def with_certificate(self, certificate: Certificate, now: datetime) -> Self:
        """After one more certificate; those by which nobody comes back any more are struck out."""
        issued = Issued(serial=certificate.serial, not_after=certificate.not_after)
        kept = tuple(
            each for each in self.issued if each.not_after + RETURN_PERIOD >= now and each.serial != issued.serial
        )
        return replace(self, names=certificate.names, issued=(*kept, issued), last_seen=now)

    def with_shown(self, certificate: Certificate) -> Self:
        """After it has called with `certificate`, which is written down if these books are older than it is."""
        issued = Issued(serial=certificate.serial, not_after=certificate.not_after)
        known = any(each.serial == issued.serial for each in self.issued)
        issued_so_far = self.issued if known else (*self.issued, issued)
        return replace(self, shown=issued.serial, issued=issued_so_far, minted=False)

    def refusal(self, shown: Certificate | None, now: datetime) -> str | None:
        """Why whoever shows that certificate gets no next one; None when it does.

        An answer may be lost, so the certificate before the newest one counts until the newest one is shown, and no
        longer: somebody who finds an old key must not become the member with it. If the finder is quicker, it is the
        member that is refused, and a person learns of it (as with the refresh tokens of RFC 9700, section 4.14.2).
        """
        if self.revoked is not None:
            return (
                f"member {self.id} was revoked on {self.revoked:%Y-%m-%d}; to come back it runs `forgather tls join "
                "--force`, with a token from `forgather tls join-token` on the host of the authority"
            )
        if shown is not None and self.is_behind(shown):
            return (
                f"member {self.id} has called with a newer certificate since; if this host was restored from a backup, "
                f"or was copied, end the old membership with `forgather tls revoke {self.id}` on the host of the "
                "authority, and let this host join again"
            )
        if len(self.issued) >= _MOST_CERTIFICATES and self.issued[0].not_after + RETURN_PERIOD >= now:
            return f"member {self.id} was issued {len(self.issued)} certificates within months, which no host needs"
        return None

    def is_behind(self, certificate: Certificate) -> bool:
        """Whether the member has called with a newer certificate; by the order in the books, as clocks may jump."""
        order = [each.serial for each in self.issued]
        if self.shown not in order or certificate.serial not in order:
            return False
        return order.index(certificate.serial) < order.index(self.shown)

    def is_live(self, now: datetime) -> bool:
        """Whether the member has a certificate that holds, or ran out so recently that it may come back."""
        newest = max((each.not_after for each in self.issued), default=self.joined)
        return self.revoked is None and now < newest + RETURN_PERIOD

    def is_unclaimed(self, now: datetime) -> bool:
        """Whether a host has joined and was not heard of again: the answer may never have reached it."""
        return self.revoked is None and self.shown is None and now - self.joined > CLAIM_PERIOD

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "role": self.role,
            "hostname": self.hostname,
            "names": _names_to_json(self.names),
            "bound": _names_to_json(self.bound),
            # Serial numbers have up to 160 bits, which many readers of JSON would round.
            "issued": [{"serial": f"{each.serial:x}", "not_after": each.not_after.isoformat()} for each in self.issued],
            "shown": None if self.shown is None else f"{self.shown:x}",
            "joined": self.joined.isoformat(),
            "last_seen": self.last_seen.isoformat(),
            "phase": self.phase,
            "minted": self.minted,
            "revoked": _time_to_json(self.revoked),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        issued = tuple(
            Issued(serial=int(each["serial"], 16), not_after=datetime.fromisoformat(each["not_after"]))
            for each in data["issued"]
        )
        # Books from before it was written down: whoever is in them has called, with whichever certificate it still has.
        shown = data.get("shown", data["issued"][0]["serial"] if issued else None)
        return cls(
            id=data["id"],
            role=_role(data["role"]),
            hostname=data["hostname"],
            names=parse_names(data["names"]),
            bound=parse_names(data["bound"]),
            issued=issued,
            shown=None if shown is None else int(shown, 16),
            joined=datetime.fromisoformat(data["joined"]),
            last_seen=datetime.fromisoformat(data["last_seen"]),
            phase=int(data["phase"]),
            minted=bool(data.get("minted", False)),
            revoked=_time(data["revoked"]),
        )


def _names_to_json(names: Names) -> list[str]:
    return [*names.hostnames, *map(str, names.addresses)]


def _role(text: str) -> Role:
    found = next((role for role in ROLES if role == text), None)
    if found is None:
        raise ValueError(f"{text!r} is no role")
    return found


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _time_to_json(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
