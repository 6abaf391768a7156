"""Where requests go, and what may go there: the decisions that every client of ours shares.

A token is for one origin (RFC 6454: scheme, host and port). In clear text it goes to loopback only, and the token of a
server that was found on this machine goes there only while that very process listens: any user may take a port that
has become free, and wait for the token of the server before.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from fg_tls.endpoints import Endpoint, endpoints
from fg_tls.errors import HostNameError, PeerError, TlsError, TokenFileError
from fg_tls.listener.tokens import read_token
from fg_tls.pki.names import as_address, parse_names, private_constraints

_PORTS: Final = {"http": 80, "https": 443}
_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_PRIVATE: Final = private_constraints()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Scheme, host (lower case, an IPv6 address without brackets) and port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        """The origin of a URL.

        Raises:
            PeerError: it is no URL of http or https, or it carries a password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
            parse_names([parts.hostname or ""])
        except (ValueError, KeyError, HostNameError) as error:
            raise PeerError(f"{url!r} is not the URL of a server; write for example https://box.lan:8137") from error
        if parts.username is not None:
            raise PeerError(f"the URL of {parts.hostname} carries a user or password; give a token file instead")
        return cls(scheme=parts.scheme, host=parts.hostname or "", port=port)

    def __str__(self) -> str:
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine, and what goes there stays on it."""
        address = as_address(self.host)
        return self.host == "localhost" if address is None else address.is_loopback

    @property
    def confidential(self) -> bool:
        """Whether nobody else can read what goes there."""
        return self.scheme == "https" or self.loopback

    @property
    def private(self) -> bool:
        """Whether its host is one of a private network, where no proxy and no public authority belongs."""
        names = parse_names([self.host])
        single_label = as_address(self.host) is None and "." not in self.host
        return single_label or _PRIVATE.permits(names) == names


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """An origin, and what goes there."""

    origin: Origin
    token: str | None = None
    ours: bool = False  # the token was found on this machine: the server must show the certificate of this host
    insecure: bool = False

    def admits(self, origin: Origin) -> bool:
        """Whether a request to `origin` may be sent at all."""
        return self.insecure or origin.confidential

    def token_for(self, origin: Origin) -> str | None:
        """The token, for the origin it belongs to."""
        return self.token if origin == self.origin and origin.confidential else None


def destination(
    url: str,
    *,
    token: str | None = None,
    token_file: Path | None = None,
    service: str | None = None,
    insecure: bool = False,
) -> Destination:
    """What a request to `url` may carry: the given token, else that of a server of this user at that origin.

    Raises:
        PeerError: `url` is no URL, or it leaves this machine in clear text.
        TokenFileError: the token file cannot be used.
    """
    origin = Origin.of(url)
    given = read_token(token_file) if token is None and token_file is not None else token
    if not origin.confidential and (given is not None or not insecure):
        raise PeerError(
            f"refuses to send {'a token' if given else 'requests'} to {origin} in clear text: everybody on the network "
            f"could read it; use {replace(origin, scheme='https')}, or a tunnel (ssh -L) to a port of this machine"
        )
    if given is not None:
        return Destination(origin=origin, token=_sendable(given), insecure=insecure)
    endpoint = _own(origin, service)
    if endpoint is None:
        return Destination(origin=origin, insecure=insecure)
    return Destination(
        origin=_pinned(origin, endpoint), token=_own_token(endpoint), ours=endpoint.tls, insecure=insecure
    )


def _sendable(token: str) -> str:
    if not (token.isascii() and token.isprintable()) or " " in token or not token:
        raise TokenFileError("the token has characters that no HTTP header may carry; give it as the server wrote it")
    return token


def _own(origin: Origin, service: str | None) -> Endpoint | None:
    """The server of this user at `origin`, if its process listens there now."""
    for endpoint in endpoints(service):
        same_place = origin in _origins(endpoint) or (
            origin.loopback and _reaches(origin, endpoint) and origin.port == endpoint.port
        )
        if same_place and endpoint.tls == (origin.scheme == "https") and endpoint.process.listens(endpoint.port):
            return endpoint
    return None


def _origins(endpoint: Endpoint) -> list[Origin]:
    try:
        return [Origin.of(url) for url in endpoint.urls]
    except PeerError:
        return []


def _reaches(origin: Origin, endpoint: Endpoint) -> bool:
    """Whether a loopback origin is the address that the server is bound to: another one may be somebody else's."""
    address = _EVERY_ADDRESS.get(endpoint.host, endpoint.host)
    return origin.host in ("localhost", address)


def _pinned(origin: Origin, endpoint: Endpoint) -> Origin:
    """`origin`, with the address of the server in place of `localhost`, which may stand for somebody else's too.

    With TLS the certificate says who answers, and it may name the host only.
    """
    if origin.scheme == "https" or origin.host != "localhost":
        return origin
    return Origin(scheme="http", host=_EVERY_ADDRESS.get(endpoint.host, endpoint.host), port=origin.port)


def _own_token(endpoint: Endpoint) -> str | None:
    path = endpoint.token_file
    try:
        return read_token(path) if path is not None and path.stat().st_uid == os.geteuid() else None
    except (OSError, TlsError):  # it has just ended, or its file is not safe: then the server says what is missing
        return None
