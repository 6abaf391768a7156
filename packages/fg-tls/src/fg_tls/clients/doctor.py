"""Why a server cannot be reached with TLS, in one sentence, and what to do about it.

OpenSSL says "certificate verify failed", and a server that refuses our certificate often says nothing at all: asyncio
closes the connection before the alert is sent. So the doctor looks for itself: without verifying anything, then as
OpenSSL verifies it, then with the certificate of this host, and compares what it saw with the files that are here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature

from fg_tls.clients.probing import Seen, Target, look, speaks_http
from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import HostNameError, NotProvisionedError, PeerError, TlsError
from fg_tls.host.store import Store
from fg_tls.listener.identity import TOKEN_NEEDED
from fg_tls.membership.own_revocation import is_revoked
from fg_tls.pki.certificates import Certificate
from fg_tls.pki.contexts import Material, client_context, unverified_context
from fg_tls.pki.names import parse_names

_TOLERATED: Final = timedelta(minutes=5)  # certificates are back-dated by as much
_HTTPS: Final = 443

# X509_V_ERR_… of OpenSSL, from x509_vfy.h.
_UNKNOWN_ISSUER: Final = {2, 18, 19, 20, 21, 7, 30, 31}
_NAME_MISMATCH: Final = {62, 64}
_CONSTRAINED: Final = set(range(47, 54))
_PURPOSE: Final = {24, 26, 32, 79}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What is wrong between this host and a server: `cause` for programs, the rest for people."""

    cause: str
    sentence: str
    remedy: str = ""  # what to do, as a clause; "" when nothing is to be done

    @property
    def healthy(self) -> bool:
        return self.cause == "healthy"

    def __str__(self) -> str:
        return f"{self.sentence}; {self.remedy}" if self.remedy else self.sentence


_REVOKED: Final = Diagnosis(
    cause="own-revoked",
    sentence="the certificate of this host is revoked",
    remedy="let this host join again: `forgather tls join --force`",
)


def diagnose(host: str, port: int, store: Store, clock: Clock = SYSTEM, *, path: str = "/") -> Diagnosis:
    """Connect as a client of this host would, and say what stands in the way, if anything does."""
    target = Target(host=host, port=port, path=path)
    shown = look(target, unverified_context())
    if shown.certificate is None:
        return _no_tls(target, shown, store)
    try:
        visit = _Visit(target=target, shown=shown, material=store.client_material(), now=clock(), own=_own(store))
    except TlsError as error:
        return Diagnosis(cause="files", sentence=str(error))
    found = next(visit.problems(), None) or visit.with_our_certificate()
    return _REVOKED if found.cause == "not-counted" and is_revoked(store, clock) else found


def target_of(text: str) -> Target:
    """`HOST:PORT`, or a URL of https, as people write it.

    Raises:
        PeerError: it is neither.
    """
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname or "", parts.port or (_HTTPS if "://" in text else None)
        parse_names([host])
    except (ValueError, HostNameError):
        host, port = "", None
    if port is None:
        raise PeerError(f"{text!r} is no server; write HOST:PORT or a URL, for example box.lan:8767")
    return Target(host=host, port=port, path=parts.path or "/")


# --- without TLS -----------------------------------------------------------------------------------------------------


def _no_tls(target: Target, seen: Seen, store: Store) -> Diagnosis:
    match seen.failure:
        case "unknown-host":
            sentence = f"no address is known for {target.host!r} ({seen.detail})"
            return Diagnosis(
                cause="unknown-host", sentence=sentence, remedy="check the spelling, or use the host's address"
            )
        case "nothing-listens":
            sentence = f"nothing listens on port {target.port} of {target.host}"
            return Diagnosis(
                cause="nothing-listens",
                sentence=sentence,
                remedy="start the server, or check the port and that it does not listen on 127.0.0.1 alone",
            )
        case "old-tls":
            return Diagnosis(
                cause="old-tls",
                sentence=f"{target} does not speak TLS 1.3",
                remedy="bring the server up to date, or reach it through one that is",
            )
        case "unreachable" | "no-answer" if not speaks_http(target):
            return Diagnosis(
                cause=seen.failure,
                sentence=f"{target} cannot be reached: {seen.detail}",
                remedy="check that the host is up, and that no firewall drops the port",
            )
    if speaks_http(target):
        return _plain_http(target, store)
    return Diagnosis(
        cause="not-tls",
        sentence=f"{target} accepts connections and ends them without a certificate ({seen.detail})",
        remedy="check that the port is that of the server you mean",
    )


def _plain_http(target: Target, store: Store) -> Diagnosis:
    if target.host in ("localhost", "127.0.0.1", "::1") and not store.enabled:
        return Diagnosis(
            cause="disabled",
            sentence=f"{target} speaks plain HTTP, for TLS is disabled on this host",
            remedy="use http://, or run `forgather tls enable` and restart the server",
        )
    return Diagnosis(
        cause="plain-http",
        sentence=f"{target} speaks plain HTTP, without TLS",
        remedy="use http:// if it is on this machine; elsewhere run `forgather tls enable` there and restart it",
    )


# --- with TLS --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """A server that showed a certificate, and everything on this host to compare it with."""

    target: Target
    shown: Seen
    material: Material
    own: Certificate | None
    now: datetime

    @property
    def leaf(self) -> Certificate:
        assert self.shown.certificate is not None
        return self.shown.certificate

    def problems(self) -> Iterator[Diagnosis]:
        """Whether this host is revoked, what it has against the server, what else speaks against it."""
        if not self.material.authorities:
            yield Diagnosis(
                cause="no-authority",
                sentence=f"this host knows no authority that could vouch for {self.target}",
                remedy="run `forgather tls join` here, with a token from `forgather tls join-token` on another host",
            )
        if self.own is not None and self.own in self.material.revoked:
            yield _REVOKED
        yield from self._clocks()
        yield from self._dates(self.leaf, f"the certificate of {self.target}", "renew it there: `forgather tls renew`")
        verified = look(
            self.target, client_context(replace(self.material, certificate_file=None), clock=lambda: self.now)
        )
        if verified.failure == "refused-by-us":
            yield self._unverified(verified)
        if self.leaf in self.material.revoked:
            yield Diagnosis(
                cause="revoked",
                sentence=f"the certificate of {self.target} is revoked",
                remedy="let its host join again: `forgather tls join --force` there",
            )
        yield from self._own_problems()

    def with_our_certificate(self) -> Diagnosis:
        """The request as a client of this host makes it, and what became of it."""
        answer = look(self.target, client_context(self.material, clock=lambda: self.now))
        if answer.failure is not None and answer.failure != "no-answer":
            return self._turned_away(answer)
        if self.own is not None and self.own.member is not None and answer.status == 403:
            return Diagnosis(
                cause="role",
                sentence=f"{self.target} admits this host, but not to {self.target.path} with the role "
                f"{self.own.member.role!r}: {answer.detail or 'status 403'}",
                remedy="join again with a token for the other role: `forgather tls join-token --role member`",
            )
        if answer.code == TOKEN_NEEDED:
            return Diagnosis(
                cause="token",
                sentence=f"{self.target} knows the certificate of this host, but a token is needed there, at "
                f"{self.target.path}",
                remedy="send one of that server as `Authorization: Bearer TOKEN`",
            )
        if self.own is not None and self.own.member is not None and answer.status == 401:
            return Diagnosis(
                cause="not-counted",
                sentence=f"{self.target} does not count the certificate of this host: {answer.detail or 'status 401'}",
                remedy="it may be revoked there; let this host join again: `forgather tls join --force`",
            )
        return self._healthy()

    def _healthy(self) -> Diagnosis:
        whose = (
            f"this host shows its own, valid until {_day(self.own.not_after)}" if self.own else "this host shows none"
        )
        return Diagnosis(
            cause="healthy",
            sentence=f"TLS 1.3 with {self.target} works: its certificate, from {self.leaf.issuer!r}, is valid until "
            f"{_day(self.leaf.not_after)}, and {whose}",
        )

    def _clocks(self) -> Iterator[Diagnosis]:
        """A clock that is wrong explains certificates that seem to be; the server tells its own in every answer."""
        if self.shown.date is None or abs(self.shown.date - self.now) <= _TOLERATED:
            return
        ahead = self.now > self.shown.date
        yield Diagnosis(
            cause="clock",
            sentence=f"the clock of this host is {_span(abs(self.shown.date - self.now))} "
            f"{'ahead of' if ahead else 'behind'} that of {self.target} "
            f"({_moment(self.now)} here, {_moment(self.shown.date)} there)",
            remedy="set the one that is wrong (`timedatectl set-ntp true`)",
        )

    def _dates(self, certificate: Certificate, what: str, remedy: str, prefix: str = "") -> Iterator[Diagnosis]:
        if self.now > certificate.not_after:
            age = _span(self.now - certificate.not_after)
            sentence = f"{what} ran out {age} ago, on {_moment(certificate.not_after)}"
            yield Diagnosis(cause=f"{prefix}expired", sentence=sentence, remedy=remedy)
        if self.now < certificate.not_before:
            wait = _span(certificate.not_before - self.now)
            yield Diagnosis(
                cause=f"{prefix}not-yet-valid",
                sentence=f"{what} is valid from {_moment(certificate.not_before)} only, in {wait}",
                remedy="compare the clocks of this host, that one and the host of the authority (`timedatectl`)",
            )

    def _unverified(self, refused: Seen) -> Diagnosis:
        code, leaf = refused.verify_code, self.leaf
        if code in _NAME_MISMATCH:
            return Diagnosis(
                cause="name",
                sentence=f"the certificate of {self.target} is not for {self.target.host!r}, but for "
                f"{leaf.names or 'no name at all'}",
                remedy=f"use one of these, or add it there: `forgather tls renew {_flag(self.target.host)}`",
            )
        if code in _CONSTRAINED:
            return Diagnosis(
                cause="constraints",
                sentence=f"the authority {leaf.issuer!r} may not vouch for {leaf.names}: its constraints forbid it "
                f"({refused.detail})",
                remedy="use private names, or make an authority with `forgather tls init --force --hostname NAME`",
            )
        if code in _PURPOSE:
            return Diagnosis(
                cause="purpose",
                sentence=f"the certificate of {self.target} may not be used by a server ({refused.detail})",
                remedy="install one that is for server authentication: `forgather tls install` there",
            )
        if code in _UNKNOWN_ISSUER:
            return self._unknown_issuer()
        return Diagnosis(
            cause="unverified",
            sentence=f"the certificate of {self.target} does not verify: {refused.detail} (OpenSSL error {code})",
            remedy="look at it with `forgather tls status` there",
        )

    def _unknown_issuer(self) -> Diagnosis:
        leaf = self.leaf
        join = "join that one with a token of it (`forgather tls join`), or trust it (`forgather tls import-ca FILE`)"
        same_cluster = any(each.cluster == leaf.cluster for each in self.material.authorities if each.cluster)
        if same_cluster and leaf.cluster:
            return Diagnosis(
                cause="other-key",
                sentence=f"{self.target} has a certificate of our cluster, but from an authority that this host does "
                "not know: one of the two missed a change of the authority",
                remedy="run `forgather tls renew` on both",
            )
        if any(each.common_name == leaf.issuer for each in self.material.authorities):
            return Diagnosis(
                cause="same-name",
                sentence=f"{self.target} has a certificate from another authority that is also called "
                f"{leaf.issuer!r}: the name is that of ours, the key is not",
                remedy=join,
            )
        trusted = ", ".join(repr(each.common_name) for each in self.material.authorities)
        return Diagnosis(
            cause="unknown-authority",
            sentence=f"{self.target} has a certificate from {leaf.issuer!r}, whom this host does not trust (it trusts "
            f"{trusted})",
            remedy=join,
        )

    def _own_problems(self) -> Iterator[Diagnosis]:
        own = self.own
        if own is None:
            return
        yield from self._dates(own, "the certificate of this host", "run `forgather tls renew`", "own-")
        if not own.for_clients:
            yield Diagnosis(
                cause="own-purpose",
                sentence="the certificate of this host is for servers only, and cannot be shown by a client",
                remedy="install one for client authentication too, or join: `forgather tls join`",
            )

    def _turned_away(self, answer: Seen) -> Diagnosis:
        """The server is good for us; we are not for it."""
        if self.own is None:
            return Diagnosis(
                cause="no-certificate",
                sentence=f"{self.target} asks for a certificate, and this host has none ({answer.detail})",
                remedy="run `forgather tls join` here, with a token from `forgather tls join-token` on another host",
            )
        issuer = next((each for each in self.material.authorities if _vouches(each, self.leaf)), None)
        if issuer is None or not _vouches(issuer, self.own):
            return Diagnosis(
                cause="own-foreign",
                sentence=f"{self.target} refuses the certificate of this host, which is from {self.own.issuer!r}, "
                f"while its own is from {self.leaf.issuer!r} ({answer.detail})",
                remedy=f"join its cluster (`forgather tls join`), or let it trust {self.own.issuer!r}: "
                "`forgather tls export-ca` here, `forgather tls import-ca` there",
            )
        return Diagnosis(
            cause="own-refused",
            sentence=f"{self.target} refuses the certificate of this host, in which nothing is wrong here "
            f"({answer.detail})",
            remedy="look at its log; its clock may be wrong, or the certificate revoked",
        )


def _own(store: Store) -> Certificate | None:
    try:
        return store.identity().certificate
    except NotProvisionedError:
        return None


def _vouches(authority: Certificate, certificate: Certificate) -> bool:
    try:
        certificate.x509.verify_directly_issued_by(authority.x509)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _flag(host: str) -> str:
    return f"--add-ip {host}" if parse_names([host]).addresses else f"--add-hostname {host}"


def _span(span: timedelta) -> str:
    """About how long: `3 days`, `2 hours`, `1 minute`."""
    seconds = round(span.total_seconds(), -1)  # a day is a day although the answer took a moment
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
