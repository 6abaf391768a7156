"""uvicorn's protocols, with the certificate of the client in the scope.

uvicorn verifies client certificates and does not hand them on (pull requests 3132 and 3133, open in November 2026).
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send

from fg_tls.identity import CLIENT_CERTIFICATE


def with_client_certificate(base: type[asyncio.Protocol]) -> type[asyncio.Protocol]:
    """A uvicorn protocol, for HTTP or WebSocket, that writes the client's certificate into every scope."""

    class WithClientCertificate(base):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            tls = transport.get_extra_info("ssl_object")
            certificate = tls.getpeercert(binary_form=True) if tls is not None else None
            if certificate is not None:
                protocol = cast("Any", self)
                protocol.app = _marked(protocol.app, certificate)

    return WithClientCertificate


def _marked(app: ASGIApp, certificate: bytes) -> ASGIApp:
    async def marked(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})[CLIENT_CERTIFICATE] = certificate
        await app(scope, receive, send)

    return marked
