"""The state of this host's certificates, as `forgather tls status` shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from fg_tls.clock import SYSTEM, Clock
from fg_tls.host.safe_files import read_file
from fg_tls.host.settings import OUTDATED
from fg_tls.host.store import Served, Store
from fg_tls.issuing.book_entries import MemberEntry
from fg_tls.issuing.books import Books
from fg_tls.membership.moving import moment
from fg_tls.membership.renewal import missing_names, renew_at
from fg_tls.pki import revocation
from fg_tls.pki.certificates import Certificate, Role, read_pem
from fg_tls.pki.names import Names

_LONG_SILENCE: Final = timedelta(days=1)  # of issuers; the host of one may be off at night


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityStatus:
    """An authority that this host trusts."""

    name: str
    fingerprint: str
    not_after: datetime
    constrained: bool  # whether name constraints limit it
    file: str

    @classmethod
    def of(cls, certificate: Certificate, path: Path) -> AuthorityStatus:
        return cls(
            name=certificate.common_name,
            fingerprint=certificate.fingerprint,
            not_after=certificate.not_after,
            constrained=certificate.is_constrained,
            file=str(path),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStatus:
    """A host that this authority lets in, as its books know it."""

    id: str
    role: Role
    names: tuple[str, ...]  # what it calls itself, then the host names of its newest certificate
    last_seen: datetime
    not_after: datetime | None

    @classmethod
    def of(cls, entry: MemberEntry) -> MemberStatus:
        names = (entry.hostname, *(each for each in entry.names.hostnames if each != "localhost"))
        return cls(
            id=entry.id,
            role=entry.role,
            names=tuple(dict.fromkeys(filter(None, names))),
            last_seen=entry.last_seen,
            not_after=max((each.not_after for each in entry.issued), default=None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the TLS directory holds; without a certificate most fields are empty."""

    directory: str
    provisioned: bool  # whether servers have a certificate
    enabled: bool
    authority_here: bool
    certificate_file: str | None = None
    brought: bool = False  # whether servers show a certificate that something else renews
    cluster: str | None = None
    member: str | None = None
    role: Role | None = None
    names: tuple[str, ...] = ()
    names_missing: tuple[str, ...] = ()  # asked for in config.yaml, or names of this host, and not in the certificate
    issuer: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    renew_at: datetime | None = None  # None: it does not renew itself
    revoked: bool = False
    last_failure: str | None = None  # why the last renewal did not succeed
    issuers: tuple[str, ...] = ()
    authorities: tuple[AuthorityStatus, ...] = ()
    imported: tuple[AuthorityStatus, ...] = ()
    members: tuple[MemberStatus, ...] = ()  # on the host of the authority: those that may come in, this one included
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For `json.dumps`; times in ISO 8601."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def status(store: Store, clock: Clock = SYSTEM) -> Status:
    """What the directory says now.

    Raises:
        StoreError, CertificateError: a file in it cannot be used.
    """
    store.material()  # refuses what a server would refuse
    served = store.served()
    leaf = _leaf(served)
    member = leaf.member if leaf else None
    revoked = leaf is not None and leaf in revocation.read(store)
    renews = not revoked and member is not None and (store.authority_path.exists() or bool(store.settings().issuers))
    missing = missing_names(store, leaf) if leaf is not None and renews else ()
    last_failure = store.read_state().get("last_failure")
    return Status(
        directory=str(store.directory),
        provisioned=served is not None,
        enabled=store.enabled,
        authority_here=store.authority_path.exists(),
        certificate_file=str(served.certificate_file) if served else None,
        brought=served is not None and served.brought,
        cluster=member.cluster if member else None,
        member=member.id if member else None,
        role=member.role if member else None,
        names=_texts(leaf.names) if leaf else (),
        names_missing=missing,
        issuer=leaf.issuer if leaf else None,
        not_before=leaf.not_before if leaf else None,
        not_after=leaf.not_after if leaf else None,
        renew_at=renew_at(leaf) if leaf and renews else None,
        revoked=revoked,
        last_failure=last_failure,
        issuers=store.settings().issuers,
        authorities=tuple(
            AuthorityStatus.of(each, store.directory / "authorities.pem") for each in store.cluster_authorities()
        ),
        imported=tuple(
            AuthorityStatus.of(each, path) for path, found in store.imported_authorities().items() for each in found
        ),
        members=_members(store, clock()),
        warnings=tuple(_warnings(store, leaf, missing, last_failure, clock())),
    )


def _members(store: Store, now: datetime) -> tuple[MemberStatus, ...]:
    if not store.authority_path.exists():
        return ()
    return tuple(MemberStatus.of(each) for each in Books(store).members() if each.is_live(now))


def _leaf(served: Served | None) -> Certificate | None:
    if served is None:
        return None
    return read_pem(read_file(served.certificate_file), str(served.certificate_file))[0]


def _warnings(
    store: Store, leaf: Certificate | None, missing: tuple[str, ...], failure: str | None, now: datetime
) -> Iterator[str]:
    if leaf is None:
        return
    if not store.enabled:
        yield "TLS is disabled, so servers stay on loopback; run `forgather tls enable`"
    yield from _about_the_leaf(store, leaf, now)
    if failure:
        yield f"the last renewal failed: {failure}"
    yield from _about_silence(store, now)
    yield from _about_missing(missing, store.read_state().get("declined", []))
    for key in store.settings().outdated:
        yield f"{key} in config.yaml means nothing now and can be removed: {OUTDATED[key]}"


def _about_silence(store: Store, now: datetime) -> Iterator[str]:
    since = moment(store.read_state().get("unheard_since"))
    issuers = () if store.authority_path.exists() else store.settings().issuers
    if since is not None and issuers and now - since > _LONG_SILENCE:
        yield (
            f"no issuer has told this host anything since {since:%Y-%m-%d %H:%M} UTC, so that it does not hear of "
            f"revocations and cannot renew; run `forgather tls doctor {issuers[0].removeprefix('https://')}`"
        )


def _about_missing(missing: tuple[str, ...], declined: list[str]) -> Iterator[str]:
    if new := ", ".join(each for each in missing if each not in declined):
        yield f"the certificate does not name {new}; run `forgather tls renew`"
    if refused := ", ".join(each for each in missing if each in declined):
        yield f"the authority did not agree to {refused}; take that out of config.yaml, or choose another name there"


def _about_the_leaf(store: Store, leaf: Certificate, now: datetime) -> Iterator[str]:
    if leaf in revocation.read(store):
        yield "the certificate is revoked, so that other hosts refuse it; run `forgather tls join --force`"
    renews = store.authority_path.exists() or bool(store.settings().issuers)
    until = f"{leaf.not_after:%Y-%m-%d %H:%M} UTC"
    if now < leaf.not_before:
        yield f"the certificate holds from {leaf.not_before:%Y-%m-%d %H:%M} UTC; set the clock of this host"
    elif leaf.member is None and now > leaf.not_after:
        yield f"the certificate ran out on {until}; ask whoever made it for another"
    elif leaf.member is not None and renews and now > leaf.not_after:
        yield f"the certificate ran out on {until}; run `forgather tls renew`"
    elif leaf.member is not None and not renews and now > renew_at(leaf):
        yield (
            f"the certificate holds until {until} and does not renew itself; join with `forgather tls join`, "
            "or install another one"
        )
    if leaf.member is not None and not any(leaf.issued_by(each) for each in store.authorities()):
        yield (
            f"the certificate was issued by {leaf.issuer!r}, which is not among the authorities here, so that other "
            "hosts will not accept it; run `forgather tls join`"
        )


def _texts(names: Names) -> tuple[str, ...]:
    return (*names.hostnames, *map(str, names.addresses))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
