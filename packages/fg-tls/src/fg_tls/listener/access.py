"""Who may call what: every route of an application is declared, or the application does not start.

A guard on some prefixes leaves the route open that was added last week; a table that must be complete does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute, compile_path

from fg_tls.errors import UnlistedRouteError
from fg_tls.listener.identity import Peer
from fg_tls.pki.certificates import ROLES, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a caller of a route must show: nothing (`public`), a token that has all of `scopes`, or a certificate.

    `token(…) | certificate(…)` is either.
    """

    public: bool = False
    scopes: frozenset[str] | None = None  # None: a token does not help
    roles: frozenset[Role] = frozenset()

    def __or__(self, other: Access) -> Access:
        if self.scopes is not None and other.scopes is not None:
            raise ValueError("a token with one scope or another cannot be asked for; give the tokens a common scope")
        return Access(
            public=self.public or other.public,
            scopes=other.scopes if self.scopes is None else self.scopes,
            roles=self.roles | other.roles,
        )

    def admits(self, peer: Peer) -> bool:
        """Whether `peer` has shown enough."""
        return self.public or peer.role in self.roles or (self.scopes is not None and peer.has(self.scopes))


PUBLIC: Final = Access(public=True)
WEBSOCKET: Final = "WEBSOCKET"  # in place of the method, for a route that is a WebSocket


def token(*scopes: str) -> Access:
    """Access for bearers of a token with all of `scopes`; without scopes, for bearers of any token."""
    return Access(scopes=frozenset(scopes))


def certificate(*roles: Role) -> Access:
    """Access for holders of a certificate of our authority with one of `roles`; without roles, with any."""
    return Access(roles=frozenset(roles or ROLES))


@dataclass(frozen=True, slots=True)
class _Entry:
    method: str
    path: str
    pattern: re.Pattern[str]
    access: Access


class AccessTable:
    """Declared access by (method, path), with paths as Starlette writes them: `/v1/models/{name}`.

    An entry for GET also answers for HEAD; the method of a WebSocket is `WEBSOCKET`. What no entry matches is not
    served. A path that several entries match needs what each of them asks for: which of its routes an application takes
    depends on their order, access must not.
    """

    def __init__(self, entries: Mapping[tuple[str, str], Access]) -> None:
        self._entries = [
            _Entry(method, path, compile_path(path)[0], access) for (method, path), access in entries.items()
        ]

    def find(self, method: str, path: str) -> tuple[Access, ...]:
        """Everything asked of a request, by the decoded `path` that the application routes on; () admits nobody."""
        wanted = (method, "GET") if method == "HEAD" else (method,)
        return tuple(each.access for each in self._entries if each.method in wanted and each.pattern.fullmatch(path))

    def methods(self, path: str) -> list[str]:
        """The methods declared for `path`, sorted."""
        found = {entry.method for entry in self._entries if entry.pattern.fullmatch(path)}
        return sorted(found - {WEBSOCKET})

    def check(self, app: Starlette) -> None:
        """Compare with the routes of `app`.

        Raises:
            UnlistedRouteError: a route is not in the table, an entry has no route, or a route cannot be read.
        """
        routes = set(_routes(app))
        declared = {(entry.method, entry.path) for entry in self._entries}
        unlisted = sorted(f"{method} {path}" for method, path in routes - declared)
        if unlisted:
            raise UnlistedRouteError(
                f"no access is declared for {', '.join(unlisted)}; "
                "add each to the access table, as PUBLIC, token(…) or certificate(…)"
            )
        vacant = sorted(f"{method} {path}" for method, path in declared - routes)
        if vacant:
            raise UnlistedRouteError(f"the access table names {', '.join(vacant)}, which the application does not have")


def _routes(app: Starlette) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        if isinstance(route, WebSocketRoute):
            yield WEBSOCKET, route.path
        elif isinstance(route, Route) and route.methods is not None:
            # Starlette adds HEAD wherever there is GET, and the table lets GET answer for it.
            yield from ((method, route.path) for method in route.methods if method != "HEAD")
        else:
            path = getattr(route, "path", None) or type(route).__name__
            raise UnlistedRouteError(
                f"{path} is a {type(route).__name__}, whose access cannot be declared; "
                "serve plain HTTP and WebSocket routes that are defined on the application itself"
            )
