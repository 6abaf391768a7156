"""Every protocol that uvicorn has for HTTP, in clear text and through TLS."""

import ssl

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from fg_tls.pki.contexts import Material, client_context, server_context

from .listeners import Held, listening, material, new_authority
from .raw_client import Client

PROTOCOLS = {"h11": H11Protocol, "httptools": HttpToolsProtocol}


@pytest.fixture(scope="session")
def authority():
    return new_authority()


@pytest.fixture
def source(tmp_path, authority):
    return Held(material(tmp_path / "server.pem", authority))


@pytest.fixture(params=["h11-plain", "h11-tls", "httptools-tls"])
def kind(request):
    return request.param.split("-")


@pytest.fixture
def http(kind):
    return PROTOCOLS[kind[0]]


@pytest.fixture
def transport(kind):
    return kind[1]


@pytest.fixture
def serve_with(http, transport, source):
    """A context manager that serves an application, and gives a function that makes clients."""
    tls = transport == "tls"

    def served(app, **options):
        context = server_context(source) if tls else None
        return listening(app, http=http, ws=WebSocketsSansIOProtocol, context=context, **options)

    return served


@pytest.fixture
def connect(transport, source):
    """Connects a client to a port, through TLS where the server does."""
    trust: ssl.SSLContext | None = None
    if transport == "tls":
        trust = client_context(Material(authorities=source.now.authorities))
    clients = []

    def connected(port, **options):
        clients.append(Client(port, trust, **options))
        return clients[-1]

    yield connected
    for client in clients:
        client.close()
