"""How requests of httpx go: over connections that show what counts now, and with a word about what goes wrong.

Connections that were opened with a certificate of ours that has been replaced are left, for it may run out on them;
answers that are still being read on them come to their end first.
"""

from __future__ import annotations

import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

import httpx

from fg_tls.clients.failures import interrupted, peer_error
from fg_tls.clients.following import FollowingContext
from fg_tls.clients.origins import Destination, Origin
from fg_tls.clock import Clock
from fg_tls.errors import PeerError
from fg_tls.host.store import Store

_NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts no certificate


class PeerTransport(httpx.BaseTransport):
    """Sends requests as `context` says at that moment; without one, no server of https is trusted.

    Proxies of the environment see requests to public hosts only, and not those that our authorities vouch for.
    """

    def __init__(self, goal: Destination, context: FollowingContext | None, *, store: Store, clock: Clock) -> None:
        self._goal = goal
        self._context = context
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._pools: list[_Pool] = []  # the newest last; older ones for as long as answers come over them

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`, and return as soon as the headers of the answer are here.

        Raises:
            PeerError: it could not be sent or answered, or the certificate of the server does not count; so does
                reading the body.
        """
        origin = Origin.of(str(request.url))
        if not self._goal.admits(origin):  # looked at here, where redirects come by too
            raise PeerError(f"refuses to send a request to {origin} in clear text; use https://{origin.host}")
        with ExitStack() as stack:
            pool = self._enter()
            stack.callback(self._leave, pool)
            try:
                response = pool.by(self._proxy(origin)).handle_request(request)
            except httpx.LocalProtocolError:  # a mistake in the request itself
                raise
            except httpx.TransportError as error:
                raise peer_error(error, origin, store=self._store, clock=self._clock) from error
            body = response.stream
            assert isinstance(body, httpx.SyncByteStream)
            stack.callback(body.close)
            self._check(response, origin.host)
            response.stream = _Body(body, origin, stack.pop_all())
            return response

    def close(self) -> None:
        """End every connection."""
        with self._lock:
            pools = self._pools[:]
            self._pools.clear()
        for pool in pools:
            pool.close()

    def _enter(self) -> _Pool:
        """The connections of now, to be left when the answer has been read."""
        with self._lock:
            changes = self._context.changes if self._context is not None else 0
            if not self._pools or self._pools[-1].changes != changes:
                self._pools.append(_Pool(changes=changes, context=self._context or _NOBODY))
            pool = self._pools[-1]
            pool.users += 1
            unused = self._take_unused()
        for each in unused:
            each.close()
        return pool

    def _leave(self, pool: _Pool) -> None:
        with self._lock:
            pool.users -= 1
            unused = self._take_unused()
        for each in unused:
            each.close()

    def _take_unused(self) -> list[_Pool]:
        unused = [each for each in self._pools[:-1] if not each.users]
        self._pools = [each for each in self._pools if each not in unused]
        return unused

    def _proxy(self, origin: Origin) -> str | None:
        """The proxy that the environment names for `origin`."""
        if origin.private or (self._context is not None and self._context.is_for(origin.host)):
            return None
        if urllib.request.proxy_bypass(str(origin).partition("://")[2]):
            return None
        named = urllib.request.getproxies()
        found = named.get(origin.scheme) or named.get("all")
        return found if not found or "://" in found else f"http://{found}"

    def _check(self, response: httpx.Response, host: str) -> None:
        """A connection may outlive the certificate that it was opened with."""
        stream = response.extensions.get("network_stream")
        connection = stream.get_extra_info("socket") if stream is not None else None
        if self._context is not None and isinstance(connection, ssl.SSLSocket) and connection.fileno() >= 0:
            self._context.check(connection, host)


@dataclass(slots=True, kw_only=True, eq=False)
class _Pool:
    """Connections from between two changes of certificate or trust."""

    changes: int
    context: ssl.SSLContext
    users: int = 0
    transports: dict[str | None, httpx.HTTPTransport] = field(default_factory=dict)  # by proxy

    def by(self, proxy: str | None) -> httpx.HTTPTransport:
        if proxy not in self.transports:
            try:
                self.transports.setdefault(proxy, httpx.HTTPTransport(verify=self.context, proxy=proxy))
            except (ImportError, ValueError, httpx.InvalidURL) as error:  # a proxy may have a password: not repeated
                raise PeerError(
                    "the proxy in the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used; give it as "
                    "http://HOST:PORT, or name the hosts that need none in NO_PROXY"
                ) from error
        return self.transports[proxy]

    def close(self) -> None:
        for each in self.transports.values():
            each.close()


class _Body(httpx.SyncByteStream):
    """The body of an answer, and what is to be done when it has been read or given up."""

    def __init__(self, body: httpx.SyncByteStream, origin: Origin, done: ExitStack) -> None:
        self._body = body
        self._origin = origin
        self._done = done

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        except httpx.TransportError as error:
            raise interrupted(error, self._origin) from error

    def close(self) -> None:
        self._done.close()
