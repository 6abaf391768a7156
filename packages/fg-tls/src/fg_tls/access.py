"""Who may call what: every route of an application is declared, or the application does not start.

A guard on some prefixes leaves the route open that was added last week; a table that must be complete does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.applications import Starlette
from starlette.routing import Route, compile_path

from fg_tls.errors import UnlistedRouteError


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a caller of a route must show: nothing (`public`), or a token that has all of `scopes`."""

    public: bool = False
    scopes: frozenset[str] = frozenset()


PUBLIC: Final = Access(public=True)


def token(*scopes: str) -> Access:
    """Access for bearers of a token with all of `scopes`; without scopes, for bearers of any token."""
    return Access(scopes=frozenset(scopes))


@dataclass(frozen=True, slots=True)
class _Entry:
    method: str
    path: str
    pattern: re.Pattern[str]
    access: Access


class AccessTable:
    """Declared access by (method, path), with paths as Starlette writes them: `/v1/models/{name}`.

    An entry for GET also answers for HEAD. What no entry matches is not served. A path that several entries match needs
    what each of them asks for: which of its routes an application takes depends on their order, access must not.
    """

    def __init__(self, entries: Mapping[tuple[str, str], Access]) -> None:
        self._entries = [
            _Entry(method, path, compile_path(path)[0], access) for (method, path), access in entries.items()
        ]

    def find(self, method: str, path: str) -> Access | None:
        """The access declared for a request, by the decoded `path` that the application routes on."""
        wanted = (method, "GET") if method == "HEAD" else (method,)
        found = [each.access for each in self._entries if each.method in wanted and each.pattern.fullmatch(path)]
        if len(found) < 2:
            return found[0] if found else None
        return Access(
            public=all(access.public for access in found),
            scopes=frozenset().union(*(access.scopes for access in found)),
        )

    def methods(self, path: str) -> list[str]:
        """The methods declared for `path`, sorted."""
        return sorted({entry.method for entry in self._entries if entry.pattern.fullmatch(path)})

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
                f"no access is declared for {', '.join(unlisted)}; add each to the access table, as PUBLIC or token(…)"
            )
        vacant = sorted(f"{method} {path}" for method, path in declared - routes)
        if vacant:
            raise UnlistedRouteError(f"the access table names {', '.join(vacant)}, which the application does not have")


def _routes(app: Starlette) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        if not isinstance(route, Route) or route.methods is None:
            path = getattr(route, "path", None) or type(route).__name__
            raise UnlistedRouteError(
                f"{path} is a {type(route).__name__}, whose access cannot be declared; "
                "serve plain HTTP routes that are defined on the application itself"
            )
        # Starlette adds HEAD wherever there is GET, and the table lets GET answer for it.
        yield from ((method, route.path) for method in route.methods if method != "HEAD")
