"""One way to serve: every listener of Forgather has TLS or stays on loopback, with declared access for each route."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fg_tls.clients.connections import connect as connect
    from fg_tls.clients.connections import http_connection as http_connection
    from fg_tls.endpoints import Endpoint as Endpoint
    from fg_tls.errors import AddressError as AddressError
    from fg_tls.errors import CertificateError as CertificateError
    from fg_tls.errors import EndpointError as EndpointError
    from fg_tls.errors import HostNameError as HostNameError
    from fg_tls.errors import JoinError as JoinError
    from fg_tls.errors import NotProvisionedError as NotProvisionedError
    from fg_tls.errors import PeerError as PeerError
    from fg_tls.errors import PortInUseError as PortInUseError
    from fg_tls.errors import StoreError as StoreError
    from fg_tls.errors import TlsError as TlsError
    from fg_tls.errors import TokenFileError as TokenFileError
    from fg_tls.errors import UnlistedRouteError as UnlistedRouteError
    from fg_tls.host.store import Store as Store
    from fg_tls.listener.access import PUBLIC as PUBLIC
    from fg_tls.listener.access import WEBSOCKET as WEBSOCKET
    from fg_tls.listener.access import Access as Access
    from fg_tls.listener.access import AccessTable as AccessTable
    from fg_tls.listener.access import certificate as certificate
    from fg_tls.listener.access import token as token
    from fg_tls.listener.binding import bind as bind
    from fg_tls.listener.handover import Handover as Handover
    from fg_tls.listener.identity import Peer as Peer
    from fg_tls.listener.limits import Limits as Limits
    from fg_tls.listener.named_tokens import NamedToken as NamedToken
    from fg_tls.listener.named_tokens import add_token as add_token
    from fg_tls.listener.named_tokens import list_tokens as list_tokens
    from fg_tls.listener.named_tokens import remove_token as remove_token
    from fg_tls.listener.tokens import TokenStore as TokenStore
    from fg_tls.listener.tokens import read_token as read_token
    from fg_tls.listener.tokens import token_path as token_path
    from fg_tls.pki.contexts import Source as Source
    from fg_tls.pki.names import Names as Names
    from fg_tls.serving import Serving as Serving
    from fg_tls.serving import serve as serve

_MODULES = {
    "Access": "listener.access",
    "AccessTable": "listener.access",
    "AddressError": "errors",
    "CertificateError": "errors",
    "Endpoint": "endpoints",
    "EndpointError": "errors",
    "Handover": "listener.handover",
    "HostNameError": "errors",
    "JoinError": "errors",
    "Limits": "listener.limits",
    "NamedToken": "listener.named_tokens",
    "Names": "pki.names",
    "NotProvisionedError": "errors",
    "PUBLIC": "listener.access",
    "Peer": "listener.identity",
    "PeerError": "errors",
    "PortInUseError": "errors",
    "Serving": "serving",
    "Source": "pki.contexts",
    "Store": "host.store",
    "StoreError": "errors",
    "TlsError": "errors",
    "TokenFileError": "errors",
    "TokenStore": "listener.tokens",
    "UnlistedRouteError": "errors",
    "WEBSOCKET": "listener.access",
    "add_token": "listener.named_tokens",
    "bind": "listener.binding",
    "certificate": "listener.access",
    "connect": "clients.connections",
    "http_connection": "clients.connections",
    "list_tokens": "listener.named_tokens",
    "read_token": "listener.tokens",
    "remove_token": "listener.named_tokens",
    "serve": "serving",
    "token": "listener.access",
    "token_path": "listener.tokens",
}

__all__ = [
    "PUBLIC",
    "WEBSOCKET",
    "Access",
    "AccessTable",
    "AddressError",
    "CertificateError",
    "Endpoint",
    "EndpointError",
    "Handover",
    "HostNameError",
    "JoinError",
    "Limits",
    "NamedToken",
    "Names",
    "NotProvisionedError",
    "Peer",
    "PeerError",
    "PortInUseError",
    "Serving",
    "Source",
    "Store",
    "StoreError",
    "TlsError",
    "TokenFileError",
    "TokenStore",
    "UnlistedRouteError",
    "add_token",
    "bind",
    "certificate",
    "connect",
    "http_connection",
    "list_tokens",
    "read_token",
    "remove_token",
    "serve",
    "token",
    "token_path",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
