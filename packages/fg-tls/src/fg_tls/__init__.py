"""One way to serve: every listener of Forgather has a token, a host check and declared access for each route."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fg_tls.access import PUBLIC as PUBLIC
    from fg_tls.access import Access as Access
    from fg_tls.access import AccessTable as AccessTable
    from fg_tls.access import token as token
    from fg_tls.errors import AddressError as AddressError
    from fg_tls.errors import PortInUseError as PortInUseError
    from fg_tls.errors import TlsError as TlsError
    from fg_tls.errors import TokenFileError as TokenFileError
    from fg_tls.errors import UnlistedRouteError as UnlistedRouteError
    from fg_tls.loopback import bind_loopback as bind_loopback
    from fg_tls.serving import Serving as Serving
    from fg_tls.serving import serve as serve
    from fg_tls.tokens import Peer as Peer
    from fg_tls.tokens import TokenStore as TokenStore
    from fg_tls.tokens import read_token as read_token
    from fg_tls.tokens import token_path as token_path

_MODULES = {
    "PUBLIC": "access",
    "Access": "access",
    "AccessTable": "access",
    "AddressError": "errors",
    "Peer": "tokens",
    "PortInUseError": "errors",
    "Serving": "serving",
    "TlsError": "errors",
    "TokenFileError": "errors",
    "TokenStore": "tokens",
    "UnlistedRouteError": "errors",
    "bind_loopback": "loopback",
    "read_token": "tokens",
    "serve": "serving",
    "token": "access",
    "token_path": "tokens",
}

__all__ = [
    "PUBLIC",
    "Access",
    "AccessTable",
    "AddressError",
    "Peer",
    "PortInUseError",
    "Serving",
    "TlsError",
    "TokenFileError",
    "TokenStore",
    "UnlistedRouteError",
    "bind_loopback",
    "read_token",
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
