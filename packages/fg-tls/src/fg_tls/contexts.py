"""TLS 1.3 contexts whose certificate, trust and revocations follow the files they come from.

A listener keeps one context for its life. For each handshake its SNI callback (which OpenSSL calls without a server
name too) hands over to a context made from what the files say now: the listener stays, and so does every open
connection. Reloading a context in place instead loses handshakes that are under way in another thread.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from fg_tls.certificates import Certificate
from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import TlsError
from fg_tls.revocation import NONE_REVOKED, Revoked

logger = logging.getLogger(__name__)

_NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, for clocks other than the system's


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
        self._source = source
        self._stamp = source.stamp()
        self.material = source.material()

    def changed(self) -> bool:
        """Read the material again if the files changed; whether they did, and could be used."""
        stamp = self._source.stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.material = self._source.material()
        except TlsError as error:
            logger.warning("keeping the certificate that is in use: %s", error)
            return False
        return True


def server_context(source: Source, *, clock: Clock = SYSTEM) -> ssl.SSLContext:
    """A context for a listener; it follows `source` by itself.

    Clients may show a certificate. One that no authority of the source vouches for ends the handshake.

    Raises:
        TlsError: the source cannot be used.
    """
    live = Live(source)
    outer = _server_context(live.material, clock)
    current = outer

    def swap(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        nonlocal current
        if live.changed():
            current = _server_context(live.material, clock)
        if current is not outer:
            connection.context = current

    outer.sni_callback = swap
    return outer


def client_context(material: Material, *, clock: Clock = SYSTEM) -> ssl.SSLContext:
    """A context that trusts the authorities of `material` alone, and shows its certificate if it has one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _configure(context, material, clock)
    return context


def _server_context(material: Material, clock: Clock) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # a resumed session would carry a certificate that was not verified again
    context.verify_mode = ssl.CERT_OPTIONAL if material.authorities else ssl.CERT_NONE
    _configure(context, material, clock)
    return context


def _configure(context: ssl.SSLContext, material: Material, clock: Clock) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if clock is not SYSTEM:
        context.verify_flags |= _NO_CHECK_TIME
    if material.certificate_file is not None:
        context.load_cert_chain(material.certificate_file, material.key_file)
    if material.authorities:
        context.load_verify_locations(cadata=b"".join(each.pem for each in material.authorities).decode("ascii"))
