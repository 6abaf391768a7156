"""Starting, refusing to start, and ending."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount, Route

from fg_tls import (
    PUBLIC,
    AccessTable,
    AddressError,
    EndpointError,
    HostNameError,
    PortInUseError,
    Store,
    TlsError,
    TokenStore,
    UnlistedRouteError,
    bind,
    read_token,
    serve,
    token_path,
)
from fg_tls.clock import SYSTEM
from fg_tls.endpoints import endpoints, find
from fg_tls.host.provisioning import init, set_enabled
from fg_tls.host.store import Identity
from fg_tls.pki.names import parse_names

SCRIPT = """
import logging, sys
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route
from fg_tls import AccessTable, TokenStore, serve, token
logging.basicConfig(level="INFO", format="%(message)s")
async def forever(request):
    async def ticks():
        import asyncio
        while True:
            yield b"tick"
            await asyncio.sleep(0.01)
    return StreamingResponse(ticks())
async def deaf(request):
    import asyncio
    await asyncio.sleep(1000)
serve(
    Starlette(routes=[Route("/forever", forever), Route("/deaf", deaf)]),
    service="test",
    port=0,
    access=AccessTable({("GET", "/forever"): token(), ("GET", "/deaf"): token()}),
    tokens=TokenStore(),
    ready=lambda serving: print(serving.port, serving.token_file, flush=True),
)
print("after", flush=True)
"""


def _app(*routes):
    return Starlette(routes=list(routes))


async def _nothing(request):
    return Response()


def test_a_route_without_declared_access_keeps_the_server_from_starting():
    app = _app(Route("/a", _nothing), Route("/b/{x}", _nothing, methods=["POST", "GET"]))
    table = AccessTable({("GET", "/a"): PUBLIC, ("GET", "/b/{x}"): PUBLIC})
    with pytest.raises(UnlistedRouteError, match=r"no access is declared for POST /b/\{x\};"):
        serve(app, service="test", port=0, access=table, tokens=TokenStore())


def test_access_for_a_route_that_does_not_exist_is_an_error():
    table = AccessTable({("GET", "/a"): PUBLIC, ("GET", "/typo"): PUBLIC})
    with pytest.raises(UnlistedRouteError, match="GET /typo, which"):
        serve(_app(Route("/a", _nothing)), service="test", port=0, access=table, tokens=TokenStore())


def test_mounted_applications_are_refused():
    app = _app(Mount("/inner", routes=[Route("/a", _nothing)]))
    with pytest.raises(UnlistedRouteError, match="/inner is a Mount"):
        serve(app, service="test", port=0, access=AccessTable({}), tokens=TokenStore())


def test_a_port_in_use(server):
    with pytest.raises(PortInUseError, match=rf"^port {server.serving.port} on 127\.0\.0\.1 is in use"):
        bind("127.0.0.1", server.serving.port)


def test_a_socket_bound_before_is_served(start):
    listener = bind("localhost", 0)
    port = listener.getsockname()[1]
    server = start(sockets=[listener])
    assert server.serving.port == port
    assert server.serving.url == f"http://127.0.0.1:{port}"
    assert server.ask()[0] == 200


def test_the_token_file_is_private(server, config_directory):
    path = server.serving.token_file
    assert path == config_directory / "test" / f"{server.serving.port}.token" == token_path("test", server.serving.port)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert len(path.read_text().strip()) == 64 and int(path.read_text(), 16)


@pytest.fixture
def provisioned(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGATHER_TLS_DIR", str(tmp_path / "tls"))
    store = Store()
    init(store, names=parse_names(["box.lan"]))
    return store


def _verified(store, url, host=None):
    """The status of an open route, by a client that trusts this authority alone."""
    context = ssl.create_default_context(cafile=str(store.directory / "trust.pem"))
    request = urllib.request.Request(f"{url}/health", headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_host_with_a_certificate_speaks_tls_on_every_address(start, provisioned):
    serving = start(host="0.0.0.0").serving
    assert (serving.host, serving.tls, serving.warning) == ("0.0.0.0", True, None)
    assert serving.url == f"https://localhost:{serving.port}"
    assert f"https://box.lan:{serving.port}" in serving.urls
    assert not any("0.0.0.0" in url for url in serving.urls)
    assert _verified(provisioned, serving.url) == 200
    hosts = ["box.lan", "localhost:1", "evil.example", "0.0.0.0", "box.lan.evil.example"]
    assert [_verified(provisioned, serving.url, host) for host in hosts] == [200, 200, 421, 421, 421]


def test_a_renewed_certificate_brings_its_names_along(start, provisioned):
    serving = start().serving
    assert _verified(provisioned, serving.url, "new.lan") == 421
    authority, identity = provisioned.authority(), provisioned.identity()
    key, names = identity.key, identity.certificate.names | parse_names(["new.lan"])
    renewed = authority.issue(key.public_key(), member=identity.certificate.member, names=names, now=SYSTEM())
    provisioned.save_identity(Identity(key=key, chain=(renewed,)))
    assert [_verified(provisioned, serving.url, host) for host in ("new.lan", "localhost")] == [200, 200]


def test_names_that_cannot_be_names_are_refused():
    with pytest.raises(HostNameError, match=r"^'\*' is neither a host name nor an address"):
        serve(_app(), service="test", port=0, access=AccessTable({}), tokens=TokenStore(), hosts=["*"])


def test_a_host_that_does_not_use_its_certificate_stays_on_loopback(start, provisioned):
    set_enabled(provisioned, False)
    assert start().serving.url.startswith("http://127.0.0.1:")
    with pytest.raises(AddressError, match="clear text"):
        serve(_app(), service="test", host="0.0.0.0", port=0, access=AccessTable({}), tokens=TokenStore())


def test_sockets_made_elsewhere_are_checked_too(config_directory):
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        with pytest.raises(AddressError, match="clear text"):
            serve(_app(), service="test", port=0, access=AccessTable({}), tokens=TokenStore(), sockets=[listener])
    assert not config_directory.exists()  # refused before anything was written


def test_clear_text_beyond_loopback_is_loud(start, caplog):
    server = start(host="0.0.0.0", insecure=True)
    warning = server.serving.warning
    assert warning.startswith(f"INSECURE: 0.0.0.0 port {server.serving.port} is served in clear text; everybody")
    assert warning in caplog.text
    assert server.serving.url == f"http://localhost:{server.serving.port}"
    assert server.ask(headers={"Host": socket.gethostname()})[0] == 200
    assert server.ask(headers={"Host": "evil.example"})[0] == 421
    assert server.ask(token="0" * 64, headers={"Host": "localhost"})[0] == 401


def test_insecure_means_nothing_on_loopback(start):
    assert start(insecure=True).serving.warning is None


def test_names_that_are_given_are_answered(start):
    server = start(hosts=["proxy.example"])
    assert server.ask(headers={"Host": "PROXY.example"})[0] == 200
    assert server.ask(headers={"Host": "www.proxy.example"})[0] == 421


def test_a_port_in_use_is_found_before_a_certificate_is_read(server, provisioned):
    provisioned.identity_path.write_text("broken")
    with pytest.raises(PortInUseError):
        serve(_app(), service="test", port=server.serving.port, access=AccessTable({}), tokens=TokenStore())


def test_a_broken_certificate_frees_the_port(provisioned):
    provisioned.identity_path.write_text("broken")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(TlsError, match=str(provisioned.identity_path)):
        serve(_app(), service="test", port=port, access=AccessTable({}), tokens=TokenStore())
    bind("127.0.0.1", port).close()


def test_the_own_token_of_a_fixed_port_holds_for_the_next_start(start, run):
    with bind("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]
    with run(port=port) as first:
        token = first.token
    server = start(port=port)
    assert server.token == token
    assert server.ask()[0] == 200


def test_a_running_server_can_be_found(run):
    with run() as server:
        (found,) = endpoints("test")
        assert (found.port, found.urls, found.tls) == (server.serving.port, server.serving.urls, False)
        assert read_token(found.token_file) == server.token
    assert endpoints("test") == []


def test_a_server_that_is_part_of_a_job_is_found_by_it(run, config_directory):
    with run(job="job_1") as server:
        found = find(job="job_1")
        assert (found.service, found.port, found.urls) == ("test", server.serving.port, server.serving.urls)
        assert found.path == config_directory / "jobs" / "job_1" / "endpoint.json"
    with pytest.raises(EndpointError, match="no server with job job_1 runs on this machine"):
        find(job="job_1")


def test_bodies_are_as_large_as_the_server_allows(start):
    server = start(max_body=10)
    assert server.ask("POST", body=b"x" * 10)[0] == 200
    assert server.ask("POST", body=b"x" * 11)[0] == 413
    lengths = [b"Content-Length: " + each for each in (b"11", b"9" * 30, b"-1", b"0x5", b"+5", b"1_0")]
    bearer = b"Authorization: Bearer " + server.token.encode()
    statuses = [server.status(b"POST /items HTTP/1.1", b"Host: localhost", bearer, each) for each in lengths]
    assert set(statuses) <= {400, 413}


def test_refusals_are_kept_by_no_cache(server):
    for path, bearer in [("/items", "0" * 64), ("/nowhere", None)]:
        assert server.ask(path=path, token=bearer)[1]["Cache-Control"] == "no-store"
    assert server.ask()[1]["Cache-Control"] is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("route", ["/forever", "/deaf"])
def test_a_signal_ends_open_requests_and_leaves_nothing_behind(tmp_path, number, route):
    environment = os.environ | {"FORGATHER_CONFIG_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        port, token_file = process.stdout.readline().split()
        with socket.create_connection(("127.0.0.1", int(port)), timeout=30) as connection:
            bearer = f"Authorization: Bearer {read_token(tmp_path / 'test' / f'{port}.token')}"
            connection.sendall(f"GET {route} HTTP/1.1\r\nHost: localhost\r\n{bearer}\r\n\r\n".encode())
            if route == "/forever":
                assert connection.recv(15) == b"HTTP/1.1 200 OK"
            process.send_signal(number)
            process.send_signal(number)  # impatience changes nothing
            out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out) == (0, "after\n")
    assert err.splitlines() == [f"test listens on 127.0.0.1 port {port}", f"test on port {port} has stopped"]
    assert not Path(token_file).exists()
