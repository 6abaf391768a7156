"""The conformance suite: our servers pass it, and servers with one hole each fail exactly the cases for that hole."""

import contextlib
import queue
import re
import socket
import ssl
import threading
from datetime import UTC, datetime

import psutil
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

from fg_tls import PUBLIC, WEBSOCKET, AccessTable, Store, TokenStore, certificate, read_token, serve, token
from fg_tls.host.store import Identity
from fg_tls.listener.guard import Guard
from fg_tls.listener.hosts import AllowedHosts
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Member
from fg_tls.pki.contexts import server_context
from fg_tls.pki.keys import new_key
from fg_tls.pki.names import parse_names, private_constraints
from fg_tls.testing import ConformanceError, Listener, conformance_cases, run_case
from fg_tls.testing.listening import Socket, listening_sockets, offers_old_tls, speaks_clear_text, speaks_tls

WAIT = 30
HOST = "127.0.0.1"


async def say(request):
    return JSONResponse({})


async def forever(request):
    async def ticks():
        while not await request.is_disconnected():
            yield b"tick\n"

    return StreamingResponse(ticks())


async def talk(websocket):
    await websocket.accept()
    await websocket.close()


ROUTES = [
    Route("/health", say),
    Route("/items", say, methods=["GET", "POST"]),
    Route("/items/{number:int}/{rest:path}", say, methods=["DELETE"]),
    Route("/forever", forever),
    Route("/peers", say),
    WebSocketRoute("/talk/{name}", talk),
]
APP = Starlette(routes=ROUTES)
ACCESS = AccessTable(
    {
        ("GET", "/health"): PUBLIC,
        ("GET", "/items"): token("read"),
        ("POST", "/items"): token("write"),
        ("DELETE", "/items/{number:int}/{rest:path}"): token("write"),
        ("GET", "/forever"): token() | certificate(),
        ("GET", "/peers"): certificate("member"),
        (WEBSOCKET, "/talk/{name}"): token(),
    }
)
CASES = {str(case): case for case in conformance_cases(APP, ACCESS)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    now = datetime.now(UTC)
    authority = Authority.create("test", private_constraints(), now=now)
    key = new_key()
    member = Member(cluster=authority.cluster, role="member", id="a")
    leaf = authority.issue(key.public_key(), member=member, names=parse_names(["localhost", HOST]), now=now)
    store = Store(tmp_path_factory.mktemp("tls"))
    store.save_identity(Identity(key=key, chain=(leaf,)))
    store.save_authorities((authority.certificate,))
    return store


@contextlib.contextmanager
def served(**options):
    """A listener of ours, as the suite sees it."""
    started = queue.Queue()
    arguments = {"service": "test", "port": 0, "access": ACCESS, "tokens": TokenStore(), "ready": started.put} | options
    thread = threading.Thread(target=serve, args=(APP,), kwargs=arguments)
    thread.start()
    serving = started.get(timeout=WAIT)
    try:
        yield Listener(url=serving.url, token=read_token(serving.token_file))
    finally:
        serving.stop()
        thread.join(WAIT)
        assert not thread.is_alive()


@pytest.fixture(scope="module", params=["plain on loopback", "TLS on every address"])
def ours(request, store, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
        tls = {"tls": store, "host": "0.0.0.0"} if "TLS" in request.param else {"tls": "off"}
        with served(**tls) as listener:
            yield listener


@pytest.mark.parametrize("case", CASES.values(), ids=str)
def test_our_servers_pass(case, ours):
    run_case(case, ours)


def test_every_route_has_its_cases():
    for route in (
        "GET /health",
        "POST /items",
        "DELETE /items/{number:int}/{rest:path}",
        f"{WEBSOCKET} /talk/{{name}}",
    ):
        about = [name for name in CASES if name.startswith(route)]
        assert f"{route} for another host" in about
        assert (f"{route} without credentials" in about) is (route != "GET /health")
    assert "PUT /items, which is not declared" in CASES and "GET /docs, which does not exist" in CASES
    assert len(CASES) == len(conformance_cases(APP, ACCESS))  # every name is one of its kind


# --- servers with a hole ----------------------------------------------------------------------------------------------


def without(*names):
    return lambda scope: [(name, value) for name, value in scope["headers"] if name not in names]


def with_token(scope, token):
    return [*without(b"authorization")(scope), (b"authorization", b"Bearer " + token)]


def let_in_if(condition):
    """A server that takes some requests for those of the bearer of its token."""
    return lambda scope, token: with_token(scope, token) if condition(scope, token) else scope["headers"]


PROTECTED = r"(?!GET /health|HEAD /health)[A-Z]+ /[^ ]+ "
FOR_TOKENS = r"(?!.* /peers )[A-Z]+ /[^ ]+ "  # a token is refused on the route for certificates with 403 anyway
CREDENTIALS = r"(without credentials|with .*)"
# What is wrong with a server, and exactly which cases it must fail.
HOLES = {
    "nobody is refused": (let_in_if(lambda *_: True), PROTECTED + CREDENTIALS),
    "one route is open": (
        let_in_if(lambda scope, _: scope["path"] == "/forever"),
        "(GET|HEAD) /forever " + CREDENTIALS,
    ),
    "WebSockets are open": (let_in_if(lambda scope, _: scope["type"] == "websocket"), f"{WEBSOCKET} .*{CREDENTIALS}"),
    "tokens in the query": (
        let_in_if(lambda scope, token: token in scope["query_string"]),
        PROTECTED + "with .* in the query",
    ),
    "tokens in cookies": (
        let_in_if(lambda scope, token: (b"cookie", b"token=" + token) in scope["headers"]),
        PROTECTED + "with the token in a cookie",
    ),
    "half a token is enough": (
        let_in_if(lambda scope, token: (b"authorization", b"Bearer " + token[:32]) in scope["headers"]),
        PROTECTED + "with half of the token",
    ),
    "any host": (
        lambda scope, _: [*without(b"host")(scope), (b"host", b"localhost")],
        ".* for (another host|a host that ends otherwise|two hosts)",
    ),
    "any origin": (
        lambda scope, _: without(b"origin")(scope),
        FOR_TOKENS + "from (the page of another site|a page without .*)",
    ),
    "fetch metadata ignored": (lambda scope, _: without(b"sec-fetch-site")(scope), FOR_TOKENS + "from another site"),
    "everybody is refused": (lambda scope, _: without(b"authorization")(scope), ".* answers the token"),
}


@contextlib.contextmanager
def uvicorn_in_a_thread(app, **options):
    """(port, what stops it) of a server that we did not configure."""
    with socket.create_server((HOST, 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", **options))
        started = threading.Event()
        startup = server.startup

        async def noted(**arguments):
            await startup(**arguments)
            started.set()

        server.startup = noted
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        assert started.wait(WAIT)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(WAIT)
            assert not thread.is_alive()


@contextlib.contextmanager
def with_a_hole(hole):
    tokens = TokenStore()
    with tokens.opened(service="test", port=1) as token_file:
        guard = Guard(APP, access=ACCESS, tokens=tokens, hosts=AllowedHosts())
        secret = read_token(token_file)

        async def sabotaged(scope, receive, send):
            await guard({**scope, "headers": HOLES[hole][0](scope, secret.encode())}, receive, send)

        with uvicorn_in_a_thread(sabotaged) as port:
            yield Listener(url=f"http://{HOST}:{port}", token=secret)


def failures(listener):
    found = set()
    for name, case in CASES.items():
        try:
            run_case(case, listener)
        except ConformanceError as error:
            assert "\n" not in str(error) and listener.token not in str(error)
            found.add(name)
    return found


@pytest.mark.parametrize("hole", HOLES)
def test_each_hole_is_found_and_nothing_else(hole):
    with with_a_hole(hole) as listener:
        found = failures(listener)
    assert found == {name for name in CASES if re.fullmatch(HOLES[hole][1], name)} != set()


def test_what_is_not_declared_is_served_to_nobody():
    """Not to those with a token either: what they may do is what the access table says."""

    async def generous(scope, receive, send):
        served = scope["type"] == "http" and scope["method"] == "PUT" and b"authorization" in dict(scope["headers"])
        await JSONResponse({}, 200 if served else 401)(scope, receive, send)

    with uvicorn_in_a_thread(generous) as port:
        listener = Listener(url=f"http://{HOST}:{port}", token="0" * 64)
        with pytest.raises(ConformanceError, match="PUT /items answered 200 to the bearer of its token"):
            run_case(CASES["PUT /items, which is not declared"], listener)
        run_case(CASES["PATCH /items, which is not declared"], listener)


def test_an_application_without_any_guard():
    with uvicorn_in_a_thread(APP) as port:
        found = failures(Listener(url=f"http://{HOST}:{port}", token="0" * 64))
    refusing = {name for name in CASES if name.split(" ")[0] in ("GET", "POST", "DELETE") and "without cred" in name}
    assert refusing and refusing <= found
    assert "GET /health for another host" in found


def test_a_listener_in_clear_text_beyond_loopback_is_found(ours):
    case = CASES["nothing listens in clear text beyond loopback"]
    run_case(case, ours)
    with socket.create_server(("0.0.0.0", 0)) as metrics:
        port = metrics.getsockname()[1]
        with pytest.raises(ConformanceError, match=rf"listens on 0\.0\.0\.0 port {port} without TLS"):
            run_case(case, ours)
    with socket.create_server((HOST, 0)):
        run_case(case, ours)


def test_an_old_tls_is_found(store):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(store.identity_path)
    case = CASES["TLS 1.2 is refused"]
    with uvicorn_in_a_thread(APP, ssl_context_factory=lambda *_: context) as port:
        listener = Listener(url=f"https://{HOST}:{port}", token="0" * 64)
        with pytest.raises(ConformanceError, match=rf"speaks TLS 1\.2 or older on 127\.0\.0\.1 port {port}"):
            run_case(case, listener)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        run_case(case, listener)
    with pytest.raises(ConformanceError, match="does not speak TLS"):
        run_case(case, listener)


def test_a_port_of_another_process_proves_nothing():
    with pytest.raises(ConformanceError, match="does not listen on port 1"):
        run_case(CASES["its port is one of its process"], Listener(url=f"http://{HOST}:1", token=""))


def test_what_cannot_be_enumerated_is_a_failure():
    app = Starlette(routes=[Mount("/inner", routes=ROUTES)])
    with pytest.raises(ConformanceError, match="is a Mount: what is behind it cannot be listed"):
        conformance_cases(app, ACCESS)


def test_what_a_socket_speaks(store):
    context = server_context(store)
    with uvicorn_in_a_thread(APP) as plain, uvicorn_in_a_thread(APP, ssl_context_factory=lambda *_: context) as tls:
        clear, encrypted = Socket(host=HOST, port=plain), Socket(host=HOST, port=tls)
        assert {clear, encrypted} <= set(listening_sockets(psutil.Process().pid))
        assert (speaks_clear_text(clear), speaks_tls(clear)) == (True, False)
        assert (speaks_clear_text(encrypted), speaks_tls(encrypted)) == (False, True)
        assert not offers_old_tls(encrypted)
