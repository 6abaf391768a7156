"""From the errors of sockets, OpenSSL and httpx to one sentence that says what to do."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace

from fg_tls.clients.origins import Origin
from fg_tls.clock import Clock
from fg_tls.errors import PeerError
from fg_tls.host.store import Store


def peer_error(error: Exception, origin: Origin, *, store: Store, clock: Clock) -> PeerError:
    """Why a request to `origin` failed, with `error` or what caused it."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, PeerError):
            return cause
        sentence = _of_the_network(cause, origin)
        if sentence is not None:
            return PeerError(sentence)
    if origin.scheme == "https":
        return PeerError(_of_tls(error, origin, store, clock))
    return PeerError(_of_clear_text(origin))


def interrupted(error: Exception, origin: Origin) -> PeerError:
    """Why an answer of `origin` that had begun did not come to its end."""
    for cause in _causes(error):
        sentence = _of_the_network(cause, origin)
        if sentence is not None:
            return PeerError(sentence)
    return PeerError(f"{origin} broke off in the middle of an answer; it may have been restarted: try again")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from, down to that of the system."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _of_the_network(cause: BaseException, origin: Origin) -> str | None:
    if isinstance(cause, socket.gaierror):
        return f"no address is known for {origin.host!r}; check the spelling, or use the address of the host"
    if isinstance(cause, ConnectionRefusedError):
        return f"nothing listens at {origin}; start the server, or check host and port"
    if isinstance(cause, TimeoutError):
        return f"{origin} does not answer in time; check that its host is up and that no firewall drops the port"
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError | ConnectionError):
        return f"{origin} cannot be reached: {cause.strerror or cause}"
    return None


def _of_clear_text(origin: Origin) -> str:
    """A server with TLS hangs up on a client without, and cannot tell it why."""
    from fg_tls.clients.probing import Target, look
    from fg_tls.pki.contexts import unverified_context

    if look(Target(host=origin.host, port=origin.port), unverified_context()).certificate is not None:
        return f"{origin} speaks TLS; use {replace(origin, scheme='https')}"
    return f"{origin} ended the connection without an answer; check that it is the server you mean"


def _of_tls(error: Exception, origin: Origin, store: Store, clock: Clock) -> str:
    """What the doctor finds; a server that refuses our certificate often says nothing itself."""
    from fg_tls.clients.doctor import diagnose

    found = diagnose(origin.host, origin.port, store, clock)
    if not found.healthy:
        return str(found)
    return (
        f"{origin} ended the connection without an answer ({error or type(error).__name__}); it may have refused our "
        f"certificate: run `forgather tls doctor {origin.host}:{origin.port}`"
    )
