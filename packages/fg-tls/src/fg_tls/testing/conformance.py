"""What every listener of ours must pass: no route answers without credentials, and nothing leaves in clear text.

    CASES = conformance_cases(create_app(…), ACCESS)  # the application is looked at, and not run

    @pytest.fixture(scope="module")
    def listener(…):
        …  # start the program; best twice, in clear text on loopback, and with TLS on 0.0.0.0
        yield Listener(url="https://127.0.0.1:8137", token=read_token(token_file), pid=process.pid)

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_conformance(case, listener):
        run_case(case, listener)

The token must not be limited to scopes. An application that is slow to make is made in a fixture instead, and its cases
run in a loop. Run all of them, in their order: a server that refuses everybody fails those which come first, and one
that takes many wrong tokens refuses their sender for a while, as the last ones allow for.

The cases come from the routes of the application, so that a route is covered on the day it appears; what they send is
written byte for byte. They carry no body, and make no application do anything unless its guard is broken. A `Mount`
hides its routes, and is refused.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from fg_tls.clients.origins import Origin
from fg_tls.listener.access import WEBSOCKET, AccessTable
from fg_tls.testing.listening import Socket, listening_sockets, offers_old_tls, speaks_clear_text, speaks_tls
from fg_tls.testing.wire import Header, ask

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
_USUAL: Final = ("/", "/docs", "/redoc", "/openapi.json", "/metrics", "/debug", "/static/x", "/..", "//", "/%2e%2e/")
_SAMPLES: Final = {"int": "1", "float": "1.5", "uuid": "00000000-0000-0000-0000-000000000000", "path": "x/y"}
_UNKNOWN: Final = frozenset({401, 429})  # 429: too many wrong tokens came from this address


class ConformanceError(AssertionError):
    """The listener did what none of ours may do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A running server: where, with which token, and in which process."""

    url: str
    token: str = field(repr=False)
    pid: int = field(default_factory=os.getpid)

    @property
    def origin(self) -> Origin:
        return Origin.of(self.url)

    @property
    def host(self) -> str:
        return str(self.origin).partition("://")[2]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that a listener must do, or must not."""

    name: str
    check: Callable[[Listener], None] = field(repr=False)

    def __str__(self) -> str:
        return self.name


def conformance_cases(app: Starlette, access: AccessTable) -> list[Case]:
    """Every case for the routes of `app` and for its process; cases that should succeed come first."""
    routes = list(_routes(app))
    return [
        *(case for route in routes for case in _welcome(route, access)),
        *(case for route in routes for case in _refusals(route, access)),
        *(case for path in dict.fromkeys(route.path for route in routes) for case in _other_methods(path, access)),
        *(Case(f"GET {path}, which does not exist", _not_served("GET", path)) for path in _usual(access)),
        *_sockets(),
    ]


def run_case(case: Case, listener: Listener) -> None:
    """Let `listener` show itself.

    Raises:
        ConformanceError: it failed; the text says what it did.
    """
    case.check(listener)


# --- routes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    method: str
    path: str  # with samples in place of parameters
    shown: str

    def is_public(self, access: AccessTable) -> bool:
        needed = access.find(self.method, self.path)
        return bool(needed) and all(each.public for each in needed)

    def takes_tokens(self, access: AccessTable) -> bool:
        return all(each.public or each.scopes is not None for each in access.find(self.method, self.path))


def _routes(app: Starlette) -> Iterator[_Target]:
    for route in app.routes:
        if isinstance(route, WebSocketRoute):
            yield _Target(method=WEBSOCKET, path=_sample(route), shown=f"{WEBSOCKET} {route.path}")
        elif isinstance(route, Route):
            for method in sorted(route.methods or _METHODS):
                yield _Target(method=method, path=_sample(route), shown=f"{method} {route.path}")
        else:
            raise ConformanceError(f"{route} is a {type(route).__name__}: what is behind it cannot be listed")


def _sample(route: Route | WebSocketRoute) -> str:
    kinds = {name: type(each).__name__.lower() for name, each in route.param_convertors.items()}
    samples = {name: next((v for k, v in _SAMPLES.items() if kind.startswith(k)), "x") for name, kind in kinds.items()}
    return route.path_format.format(**samples)


def _usual(access: AccessTable) -> list[str]:
    return [path for path in _USUAL if not access.methods(path)]


# --- what must succeed ------------------------------------------------------------------------------------------------


def _welcome(target: _Target, access: AccessTable) -> Iterator[Case]:
    """Without these, a server that refuses everybody would pass."""
    if target.is_public(access):
        yield Case(f"{target.shown} answers anybody", _admitted(target, lambda _: []))
    elif target.method in ("GET", "HEAD", WEBSOCKET) and target.takes_tokens(access):
        yield Case(f"{target.shown} answers the token", _admitted(target, _right))


def _admitted(target: _Target, headers: Callable[[Listener], list[Header]]) -> Callable[[Listener], None]:
    def check(listener: Listener) -> None:
        status = _send(listener, target.method, target.path, headers(listener))
        if status in (None, 401, 403, 421, 429):
            raise ConformanceError(f"{target.shown} answered {status} to whom it should let in")

    return check


# --- what must be refused ---------------------------------------------------------------------------------------------

_Attempt = tuple[str, Callable[[Listener], str], Callable[[Listener], list[Header]], frozenset[int]]


def _plain(_: Listener) -> str:
    return ""


def _right(listener: Listener) -> list[Header]:
    return [("Authorization", f"Bearer {listener.token}")]


def _basic(listener: Listener) -> list[Header]:
    return [("Authorization", "Basic " + base64.b64encode(f"x:{listener.token}".encode()).decode("ascii"))]


_WITHOUT_CREDENTIALS: Final[tuple[_Attempt, ...]] = (
    ("without credentials", _plain, lambda _: [], frozenset({401})),
    ("with a wrong token", _plain, lambda _: [("Authorization", "Bearer " + "0" * 64)], _UNKNOWN),
    ("with half of the token", _plain, lambda it: [("Authorization", f"Bearer {it.token[:32]}")], _UNKNOWN),
    ("with the token as Basic", _plain, _basic, _UNKNOWN),
    ("with the token in a cookie", _plain, lambda it: [("Cookie", f"token={it.token}")], frozenset({401})),
    ("with the token in the query", lambda it: f"?token={it.token}", lambda _: [], frozenset({401})),
    ("with access_token in the query", lambda it: f"?access_token={it.token}", lambda _: [], frozenset({401})),
    ("with two tokens", _plain, lambda it: [*_right(it), *_right(it)], _UNKNOWN),
)
_FROM_ELSEWHERE: Final[tuple[_Attempt, ...]] = (
    ("for another host", _plain, lambda _: [("Host", "evil.example")], frozenset({421})),
    (
        "for a host that ends otherwise",
        _plain,
        lambda it: [("Host", f"{it.origin.host}.evil.example")],
        frozenset({421}),
    ),
    ("for two hosts", _plain, lambda it: [("Host", it.host), ("Host", "evil.example")], frozenset({400, 421})),
    ("from the page of another site", _plain, lambda _: [("Origin", "https://evil.example")], frozenset({403})),
    ("from a page without an origin", _plain, lambda _: [("Origin", "null")], frozenset({403})),
    ("from another site", _plain, lambda _: [("Sec-Fetch-Site", "cross-site")], frozenset({403})),
)


def _refusals(target: _Target, access: AccessTable) -> Iterator[Case]:
    if not target.is_public(access):
        for what, query, headers, statuses in _WITHOUT_CREDENTIALS:
            yield Case(f"{target.shown} {what}", _refused(target, query, headers, statuses))
    for what, query, headers, statuses in _FROM_ELSEWHERE:
        yield Case(f"{target.shown} {what}", _refused(target, query, _with_token(headers), statuses))


def _with_token(more: Callable[[Listener], list[Header]]) -> Callable[[Listener], list[Header]]:
    return lambda listener: [*_right(listener), *more(listener)]


def _refused(
    target: _Target,
    query: Callable[[Listener], str],
    headers: Callable[[Listener], list[Header]],
    statuses: frozenset[int],
) -> Callable[[Listener], None]:
    # Servers without the extension for it can refuse a WebSocket with 403 only.
    allowed = statuses | {403} if target.method == WEBSOCKET else statuses

    def check(listener: Listener) -> None:
        status = _send(listener, target.method, target.path + query(listener), headers(listener))
        if status not in allowed:
            expected = " or ".join(map(str, sorted(allowed)))
            raise ConformanceError(f"{target.shown} answered {status} where {expected} is due")

    return check


def _other_methods(path: str, access: AccessTable) -> Iterator[Case]:
    for method in _METHODS:
        if not access.find(method, path):
            yield Case(f"{method} {path}, which is not declared", _not_served(method, path))


def _not_served(method: str, path: str) -> Callable[[Listener], None]:
    def check(listener: Listener) -> None:
        callers: dict[str, list[Header]] = {"somebody unknown": [], "the bearer of its token": _right(listener)}
        for whom, headers in callers.items():
            status = _send(listener, method, path, headers)
            if status is not None and status < 400:
                raise ConformanceError(f"{method} {path} answered {status} to {whom}")

    return check


def _send(listener: Listener, method: str, target: str, headers: list[Header]) -> int | None:
    given = {name for name, _ in headers}
    sent = [] if "Host" in given else [("Host", listener.host)]
    if method != WEBSOCKET:
        return ask(listener.origin, method, target, [*sent, ("Connection", "close"), *headers])
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    key = base64.b64encode(bytes(16)).decode("ascii")
    return ask(listener.origin, "GET", target, [*sent, *upgrade, ("Sec-WebSocket-Key", key), *headers])


# --- sockets ----------------------------------------------------------------------------------------------------------


def _sockets() -> list[Case]:
    return [
        Case("its port is one of its process", _is_found),
        Case("nothing listens in clear text beyond loopback", _no_clear_text),
        Case("TLS 1.2 is refused", _no_old_tls),
    ]


def _is_found(listener: Listener) -> None:
    if listener.origin.port not in {each.port for each in listening_sockets(listener.pid)}:
        raise ConformanceError(f"process {listener.pid} does not listen on port {listener.origin.port}")


def _no_clear_text(listener: Listener) -> None:
    for each in listening_sockets(listener.pid):
        if not each.loopback and (speaks_clear_text(each) or not speaks_tls(each)):
            raise ConformanceError(f"process {listener.pid} listens on {each} without TLS")


def _no_old_tls(listener: Listener) -> None:
    found: list[Socket] = [each for each in listening_sockets(listener.pid) if speaks_tls(each)]
    old = [each for each in found if offers_old_tls(each)]
    if old:
        raise ConformanceError(f"process {listener.pid} speaks TLS 1.2 or older on {', '.join(map(str, old))}")
    if listener.origin.scheme == "https" and listener.origin.port not in {each.port for each in found}:
        raise ConformanceError(f"{listener.origin} does not speak TLS")
