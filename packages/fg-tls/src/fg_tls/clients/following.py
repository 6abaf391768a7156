"""A context for clients that live long: each connection is made with the certificate and the trust of its moment.

Authorities with name constraints say themselves which hosts they are for. Where one of ours may vouch for a host, ours
alone are trusted there; for all other hosts it is the system's trust store, and they do not see our certificate.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Self

from cryptography import x509

from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import PeerError
from fg_tls.pki.certificates import Certificate, read_der, read_pem
from fg_tls.pki.contexts import Live, Material, Source, check_server, client_context
from fg_tls.pki.names import Constraints, Names, parse_names


class FollowingContext(ssl.SSLContext):
    """Connects as `source` says now, and looks at what OpenSSL does not: revocation, and whose server it is."""

    _live: Live
    _clock: Clock
    _ours: Live | None
    _hosts: dict[str, ssl.SSLContext]
    _changes: int
    _before: Callable[[], object] | None
    _lock: threading.RLock  # pools of connections are shared by threads

    @classmethod
    def of(
        cls,
        source: Source,
        *,
        clock: Clock = SYSTEM,
        ours: Source | None = None,
        before: Callable[[], object] | None = None,
    ) -> Self:
        """With `ours`, the server must show the certificate that this source has. `before` precedes each connection.

        Raises:
            TlsError: the source cannot be used.
        """
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context._live = Live(source)
        context._clock = clock
        context._ours = Live(ours) if ours is not None else None
        context._hosts = {}
        context._changes = 0
        context._before = before
        context._lock = threading.RLock()
        return context

    @property
    def changes(self) -> int:
        """How often certificate or trust were replaced; connections from before show what counted then."""
        with self._lock:
            self._follow()
            return self._changes

    def is_for(self, host: str) -> bool:
        """Whether one of our authorities may vouch for `host`, so that no other is trusted there."""
        return trusts(self._live.material, host)

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """A connection that has been verified to be to `server_hostname`, before a byte is sent through it.

        Raises:
            OSError: the handshake failed.
            PeerError: the certificate of the server does not count.
        """
        if server_side or not do_handshake_on_connect or not isinstance(server_hostname, str):
            raise ValueError("this context is for clients, which verify the host they ask for at once")
        if self._before is not None:
            self._before()
        connection = self._for(server_hostname).wrap_socket(
            sock, suppress_ragged_eofs=suppress_ragged_eofs, server_hostname=server_hostname
        )
        try:
            self.check(connection, server_hostname)
        except PeerError:
            connection.close()
            raise
        return connection

    def check(self, connection: ssl.SSLSocket, host: str) -> None:
        """Look at the server's certificate again: a connection may outlive it.

        Raises:
            PeerError: it does not count.
        """
        der = connection.getpeercert(binary_form=True)
        assert der is not None, "a server without a certificate ends the handshake"
        certificate = read_der(der)
        with self._lock:
            self._follow()
            material = self._live.material
            own = self._ours is None or _same_host(certificate, self._ours)
        check_server(certificate, material, self._clock())
        if not own:
            raise PeerError(
                f"the server at {host} does not show the certificate of this host, so it does not get the token that "
                "was found here; give its token with --auth-token-file"
            )

    def _for(self, host: str) -> ssl.SSLContext:
        with self._lock:
            self._follow()
            if host not in self._hosts:
                self._hosts[host] = _context(self._live.material, host, self._clock)
            return self._hosts[host]

    def _follow(self) -> None:
        if self._live.changed():
            self._hosts = {}
            self._changes += 1


def trusts(material: Material, host: str) -> bool:
    """Whether an authority of `material` may vouch for `host`."""
    names = parse_names([host])
    return any(_constraints_permit(each, names) for each in material.authorities)


def _context(material: Material, host: str, clock: Clock) -> ssl.SSLContext:
    if not trusts(material, host):
        return ssl.create_default_context()
    fitting = tuple(each for each in material.authorities if _constraints_permit(each, parse_names([host])))
    return client_context(replace(material, authorities=fitting), clock=clock)


def _constraints_permit(authority: Certificate, names: Names) -> bool:
    if not authority.is_constrained:
        return True
    subtrees = authority.x509.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    domains = tuple(each.value for each in subtrees if isinstance(each, x509.DNSName))
    networks = tuple(ipaddress.ip_network(each.value) for each in subtrees if isinstance(each, x509.IPAddress))
    return Constraints(domains=domains, networks=networks).permits(names) == names


def _same_host(certificate: Certificate, ours: Live) -> bool:
    """Whether the server has the certificate of this host, or had the one before: the member stays."""
    ours.changed()
    path = ours.material.certificate_file
    if path is None:
        return False
    own = read_pem(path.read_bytes(), str(path))[0]
    return certificate.key_hash == own.key_hash or (own.member is not None and certificate.member == own.member)
