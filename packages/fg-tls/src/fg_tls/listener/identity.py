"""Who calls: the bearer of a token, or the holder of a certificate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fg_tls.pki.certificates import Certificate, Role

PEER: Final = "forgather.peer"
CLIENT_CERTIFICATE: Final = "forgather.client_certificate"
TOKEN_NEEDED: Final = "token_needed"  # `code` of the refusal of a certificate that counts, on a route for tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who calls, in `scope["extensions"]["forgather.peer"]` of a request.

    The bearer of a token has `scopes` (None means all of them) and the `name` that the token was given, if any. The
    holder of a certificate has a `role`, and `name` is its member id.
    """

    name: str = ""
    scopes: frozenset[str] | None = None
    role: Role | None = None
    certificate: Certificate | None = None

    def has(self, scopes: frozenset[str]) -> bool:
        """Whether the caller bears a token with every one of `scopes`."""
        return self.role is None and (self.scopes is None or scopes <= self.scopes)


def client_certificate(scope: Mapping[str, Any]) -> bytes | None:
    """The verified certificate (DER) of the client of an ASGI scope; None when it showed none.

    Reads the TLS extension of ASGI where the server has it, else what the protocols of `protocol.py` write.
    """
    extensions = scope.get("extensions") or {}
    own = extensions.get(CLIENT_CERTIFICATE)
    if own is not None:
        return bytes(own)
    chain = (extensions.get("tls") or {}).get("client_cert_chain") or ()
    if not chain:
        return None
    import ssl

    return ssl.PEM_cert_to_DER_cert(next(iter(chain)))
