"""TLS 1.3 contexts whose certificate, trust and revocations follow the files they come from.

A listener keeps one context for its life. For each handshake its SNI callback (which OpenSSL calls without a server
name too) hands over to a context made from what the files say now: the listener stays, and so does every open
connection. Reloading a context in place instead loses handshakes that are under way in another thread.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import CertificateError, PeerError, TlsError
from fg_tls.pki.certificates import Certificate
from fg_tls.pki.revocation import NONE_REVOKED, Revoked
from fg_tls.watching import Watched

logger = logging.getLogger(__name__)

_NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, for clocks other than the system's
_ALPN: Final = ["http/1.1"]  # nothing else is spoken here; who offers only others goes on without any


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a context is made of: a certificate chain with its key, and whom to trust."""

    certificate_file: Path | None = None  # PEM, leaf first; None for a client without a certificate
    key_file: Path | None = None  # None: the key is in `certificate_file`
    authorities: tuple[Certificate, ...] = ()
    revoked: Revoked = NONE_REVOKED


class Source(Protocol):
    """Where material comes from, such as `Store`."""

    def stamp(self) -> Hashable:
        """A value that is equal for as long as `material()` would give the same; cheap, for every handshake."""
        ...

    def material(self) -> Material:
        """What the files say now.

        Raises:
            TlsError: they cannot be used.
        """
        ...


class Live:
    """The newest usable material of a source; what was good stays when the files turn bad."""

    def __init__(self, source: Source) -> None:
        self._watched = Watched(source.material, source.stamp, what="the certificate that is in use")
        self.changed = self._watched.changed

    @property
    def material(self) -> Material:
        return self._watched.value


class LiveContext:
    """The context that `make` makes of a source, made anew when the source changes.

    Clients take `current()` for every new connection; threads may share one.
    """

    def __init__(self, source: Source, make: Callable[[Material], ssl.SSLContext]) -> None:
        self._live = Live(source)
        self._make = make
        self._context = make(self._live.material)
        self._lock = threading.Lock()

    @property
    def material(self) -> Material:
        """What the source says, even if no context can be made of it."""
        return self._live.material

    def current(self) -> ssl.SSLContext:
        """The newest context that could be made: files that do not go together yet change nothing."""
        with self._lock:
            if self._live.changed():
                try:
                    self._context = self._make(self._live.material)
                except TlsError as error:
                    logger.warning("keeping the certificate that is in use: %s", error)
            return self._context


def server_context(source: Source, *, clock: Clock = SYSTEM) -> ssl.SSLContext:
    """A context for a listener; it follows `source` by itself.

    Clients may show a certificate. One that no authority of the source vouches for ends the handshake.

    Raises:
        TlsError: the source cannot be used.
    """
    live = LiveContext(source, lambda material: _server_context(material, clock))
    outer = live.current()

    def swap(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        current = live.current()
        if current is not outer:
            connection.context = current

    outer.sni_callback = swap
    return outer


def client_context(material: Material, *, clock: Clock = SYSTEM) -> ssl.SSLContext:
    """A context that trusts the authorities of `material` alone, and shows its certificate if it has one.

    Raises:
        CertificateError: the certificate of `material` cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False  # name constraints hold for alternative names only (RFC 5280 4.2.1.10)
    _configure(context, material, clock)
    return context


def unverified_context() -> ssl.SSLContext:
    """A context that believes any certificate and shows none, to look at who answers.

    What comes through it is compared with what is known otherwise, and nothing secret may go through it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def check_server(certificate: Certificate, material: Material, now: datetime) -> None:
    """What a client still has to check after the handshake, which verified the chain and the name.

    Raises:
        PeerError: the server shows a certificate that does not count now, or that of another cluster.
    """
    whose = f"the certificate of {certificate.names or certificate.common_name}"
    if certificate in material.revoked:
        raise PeerError(f"{whose} is revoked; run `forgather tls join` there with a new join token")
    if now < certificate.not_before:
        raise PeerError(
            f"{whose} is valid from {certificate.not_before:%Y-%m-%d %H:%M} UTC, and here it is {now:%Y-%m-%d %H:%M}; "
            "set the clock of the machine that is wrong"
        )
    if now > certificate.not_after:
        raise PeerError(
            f"{whose} ran out on {certificate.not_after:%Y-%m-%d %H:%M} UTC; run `forgather tls renew` there"
        )
    if not certificate.for_servers:
        raise PeerError(f"{whose} is not for servers (extended key usage); run `forgather tls renew` there")
    clusters = {each.cluster for each in material.authorities if each.cluster}
    if certificate.member is not None and certificate.member.cluster not in clusters:
        raise PeerError(
            f"{whose} belongs to the cluster {certificate.member.cluster}, which is not ours; "
            "run `forgather tls join` on one of the two hosts"
        )


def _server_context(material: Material, clock: Clock) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # a resumed session would carry a certificate that was not verified again
    context.verify_mode = ssl.CERT_OPTIONAL if material.authorities else ssl.CERT_NONE
    _configure(context, material, clock)
    return context


def _configure(context: ssl.SSLContext, material: Material, clock: Clock) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(_ALPN)
    if clock is not SYSTEM:
        context.verify_flags |= _NO_CHECK_TIME
    if material.certificate_file is not None:
        _load(context, material.certificate_file, material.key_file)
    if material.authorities:
        context.load_verify_locations(cadata=b"".join(each.pem for each in material.authorities).decode("ascii"))


def _load(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    files = f"{certificate} and {key}" if key else str(certificate)
    try:
        _load_unreplaced(context, certificate, key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(f"{files}: the private key is not that of the certificate") from error
        raise CertificateError(
            f"{files}: no certificate chain in PEM form with a private key that needs no passphrase"
        ) from error
    except OSError as error:
        raise CertificateError(f"{files} cannot be read: {error.strerror}") from error


def _load_unreplaced(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """OpenSSL opens a file once for the chain and once for the key; between the two it may be replaced by the next."""
    try:
        # Without a passphrase from here, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason != "KEY_VALUES_MISMATCH":
            raise
        context.load_cert_chain(certificate, key, password="")
