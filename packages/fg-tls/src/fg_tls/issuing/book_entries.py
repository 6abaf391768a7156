"""The two kinds of entries in the issuer's books, and how they are written in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from fg_tls.pki.certificates import ROLES, Certificate, Member, Role
from fg_tls.pki.names import Names, parse_names

# How long after its last certificate ran out a member may still come back, and nobody else gets its names.
RETURN_PERIOD: Final = timedelta(days=90)
MOST_WRONG_MACS: Final = 5
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
    issued: tuple[Issued, ...]
    joined: datetime
    last_seen: datetime
    phase: int = 0  # of the authority's replacement, as the member last reported
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
        """After one more certificate; those that have run out need no more revoking and are struck out."""
        issued = Issued(serial=certificate.serial, not_after=certificate.not_after)
        valid = tuple(each for each in self.issued if each.not_after > now and each.serial != issued.serial)
        return replace(self, names=certificate.names, issued=(*valid, issued), last_seen=max(now, self.last_seen))

    def is_live(self, now: datetime) -> bool:
        """Whether the member has a certificate that holds, or ran out so recently that it may come back."""
        newest = max((each.not_after for each in self.issued), default=self.joined)
        return self.revoked is None and now < newest + RETURN_PERIOD

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "role": self.role,
            "hostname": self.hostname,
            "names": _names_to_json(self.names),
            "bound": _names_to_json(self.bound),
            # Serial numbers have up to 160 bits, which many readers of JSON would round.
            "issued": [{"serial": f"{each.serial:x}", "not_after": each.not_after.isoformat()} for each in self.issued],
            "joined": self.joined.isoformat(),
            "last_seen": self.last_seen.isoformat(),
            "phase": self.phase,
            "revoked": _time_to_json(self.revoked),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(
            id=data["id"],
            role=_role(data["role"]),
            hostname=data["hostname"],
            names=parse_names(data["names"]),
            bound=parse_names(data["bound"]),
            issued=tuple(
                Issued(serial=int(each["serial"], 16), not_after=datetime.fromisoformat(each["not_after"]))
                for each in data["issued"]
            ),
            joined=datetime.fromisoformat(data["joined"]),
            last_seen=datetime.fromisoformat(data["last_seen"]),
            phase=int(data["phase"]),
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
