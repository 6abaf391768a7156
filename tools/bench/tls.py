"""What TLS costs: new connections, requests and large bodies, in clear text, through TLS, and with a certificate.

One client and one server at a time, each in a process of its own, on one machine; beside them uvicorn without our
limits.
"""

from __future__ import annotations

import http.client
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from fg_tls import Store
from fg_tls.host.provisioning import init
from fg_tls.pki.contexts import Material, client_context
from fg_tls.pki.names import parse_names
from tools.bench.measure import interleaved, machine, ratios

TRANSPORTS: Final = ("plain", "tls", "mtls")
PEER: Final = "h11 plain"
ALONE: Final = ("h11 uvicorn plain", "h11 uvicorn tls")
_TIMEOUT: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much one round of one contender does."""

    connections: int = 200
    requests: int = 2000
    body: int = 256 * 2**20  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server that runs, and how to talk to it."""

    port: int
    context: ssl.SSLContext | None

    def connection(self) -> http.client.HTTPConnection:
        if self.context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=_TIMEOUT, context=self.context)


def run(rounds: int, plan: Plan = Plan()) -> dict[str, Any]:
    """Seconds and bytes per second of every contender, and ratios to clear text with h11."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        store = Store(Path(place) / "tls")
        init(store, names=parse_names(["localhost", "127.0.0.1"]))
        names = [f"{parser} {transport}" for parser in ("h11", "httptools") for transport in TRANSPORTS]
        targets = {name: stack.enter_context(_served(name, store)) for name in [*names, *ALONE]}
        requests: dict[str, list[float]] = {name: [] for name in targets}
        measures: dict[str, Callable[[str, Target], float]] = {
            "seconds per new connection with a request": lambda _, target: _connect(target, plan),
            "seconds per request": lambda name, target: _request(target, plan, requests[name]),
            "bytes per second, download": lambda _, target: _download(target, plan),
            "bytes per second, upload": lambda _, target: _upload(target, plan),
        }
        figures = {title: _measured(measure, targets, rounds) for title, measure in measures.items()}
    return _record(figures, requests, plan)


def _measured(
    measure: Callable[[str, Target], float], targets: Mapping[str, Target], rounds: int
) -> dict[str, list[float]]:
    return interleaved({name: partial(measure, name, target) for name, target in targets.items()}, rounds)


def _record(
    figures: Mapping[str, Mapping[str, list[float]]], requests: Mapping[str, list[float]], plan: Plan
) -> dict[str, Any]:
    tail = {name: statistics.quantiles(values, n=100)[98] for name, values in requests.items()}
    return {
        "what": f"{plan.connections} connections, {plan.requests} requests and bodies of {plan.body:,} bytes a round; "
        "medians of the rounds, one client",
        "machine": {**machine("uvicorn", "h11", "httptools", "cryptography"), "openssl": ssl.OPENSSL_VERSION},
        "medians": {title: _rounded(_medians(each)) for title, each in figures.items()},
        "seconds per request, 99th percentile of all rounds": _rounded(tail),
        f"ratios to {PEER}": {title: _rounded(ratios(dict(each), PEER)) for title, each in figures.items()},
        "rounds": {
            title: {name: [float(f"{value:.4g}") for value in values] for name, values in each.items()}
            for title, each in figures.items()
        },
    }


def _medians(figures: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in figures.items()}


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in figures.items()}


@contextmanager
def _served(name: str, store: Store) -> Iterator[Target]:
    """A server in a process of its own; `name` is its parser and its transport."""
    parser, _, transport = name.partition(" ")
    command = [sys.executable, "-m", "tools.bench.tls_server", parser, transport, str(store.directory)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield Target(port=int(process.stdout.readline()), context=_trust(transport, store))
    finally:
        process.stdin.close()
        process.wait(_TIMEOUT)


def _trust(transport: str, store: Store) -> ssl.SSLContext | None:
    if transport.endswith("plain"):
        return None
    material = store.material()
    return client_context(material if transport == "mtls" else Material(authorities=material.authorities))


def _connect(target: Target, plan: Plan) -> float:
    """Median of a connection with its handshake and one request."""
    seconds: list[float] = []
    for _ in range(plan.connections):
        began = time.perf_counter()
        connection = target.connection()
        _get(connection, 2)
        connection.close()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _request(target: Target, plan: Plan, every: list[float]) -> float:
    """Median of a request on a connection that is open; all of them are added to `every`."""
    connection = target.connection()
    seconds: list[float] = []
    _get(connection, 2)
    for _ in range(plan.requests):
        began = time.perf_counter()
        _get(connection, 2)
        seconds.append(time.perf_counter() - began)
    connection.close()
    every += seconds
    return statistics.median(seconds)


def _download(target: Target, plan: Plan) -> float:
    connection = target.connection()
    _get(connection, 2)
    began = time.perf_counter()
    _get(connection, plan.body)
    seconds = time.perf_counter() - began
    connection.close()
    return plan.body / seconds


def _upload(target: Target, plan: Plan) -> float:
    connection, body = target.connection(), bytes(plan.body)
    _get(connection, 2)
    began = time.perf_counter()
    connection.request("POST", "/", body)
    answer = connection.getresponse().read()
    seconds = time.perf_counter() - began
    connection.close()
    if int(answer) != plan.body:
        raise RuntimeError(f"{answer!r} of {plan.body} bytes arrived")
    return plan.body / seconds


def _get(connection: http.client.HTTPConnection, size: int) -> None:
    connection.request("GET", f"/{size}")
    answer, received = connection.getresponse(), 0
    buffer = memoryview(bytearray(2**20))
    while count := answer.readinto(buffer):
        received += count
    if received != size:
        raise RuntimeError(f"{received} of {size} bytes arrived")
