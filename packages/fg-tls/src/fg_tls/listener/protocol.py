"""uvicorn's protocols as we serve with them: bounded, and with the certificate of the client in the scope.

uvicorn verifies client certificates and does not hand them on (pull requests 3132 and 3133, open in November 2026).
What is used of its inner parts is the same from 0.47.0 on, and the tests run with the oldest version and the newest.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send

from fg_tls.listener.door import Door
from fg_tls.listener.frames import paced_websocket
from fg_tls.listener.identity import CLIENT_CERTIFICATE
from fg_tls.listener.limits import DEFAULT, Limits
from fg_tls.listener.pace import paced_http


def protocol_options(
    http: type[asyncio.Protocol],
    ws: type[asyncio.Protocol],
    *,
    context: ssl.SSLContext | None,
    limits: Limits = DEFAULT,
) -> dict[str, Any]:
    """What `uvicorn.Config` needs to serve with these protocols, within `limits`, through TLS if there is a context."""
    inner = with_client_certificate(paced_http(http, limits))
    return {
        "http": partial(_open_door, inner, context, limits),
        "ws": with_client_certificate(paced_websocket(ws, limits)),
        "timeout_keep_alive": limits.keep_alive,
        "h11_max_incomplete_event_size": limits.header_bytes,
    }


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


def _open_door(
    inner: type[asyncio.Protocol], context: ssl.SSLContext | None, limits: Limits, *, server_state: Any, **given: Any
) -> Door:
    make = cast("Any", partial(inner, server_state=server_state, **given))
    return Door(make, connections=server_state.connections, context=context, limits=limits)


def _marked(app: ASGIApp, certificate: bytes) -> ASGIApp:
    async def marked(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})[CLIENT_CERTIFICATE] = certificate
        await app(scope, receive, send)

    return marked
