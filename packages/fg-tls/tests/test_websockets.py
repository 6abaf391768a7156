"""WebSockets and long answers: refused like requests, and ended when what opened them does not count any more."""

import asyncio
import http.client
import json
import socket
import ssl
from datetime import timedelta

import pytest
from starlette.responses import StreamingResponse
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from fg_tls import WEBSOCKET, AccessTable, Store, add_token, certificate, remove_token, token
from fg_tls.clock import SYSTEM
from fg_tls.host.provisioning import init, mint
from fg_tls.issuing.revoking import revoke
from fg_tls.pki.names import parse_names

LONGEST_WAIT = 30


async def echo(websocket):
    await websocket.accept()
    peer = websocket.scope["extensions"]["forgather.peer"]
    await websocket.send_json({"name": peer.name, "role": peer.role})
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def deaf(websocket):
    await websocket.accept()
    await asyncio.sleep(1000)


async def ticks(request):
    async def tick():
        while True:
            yield b"tick\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(tick())


async def careless(websocket):
    """Does not look at whether its client is still there, as most applications."""
    await websocket.accept()
    if await websocket.receive_text() == "listen":
        await websocket.receive_text()
    while True:
        await websocket.send_text("tick")
        await asyncio.sleep(0.01)


ROUTES = [
    WebSocketRoute("/careless", careless),
    WebSocketRoute("/echo", echo),
    WebSocketRoute("/deaf", deaf),
    Route("/ticks", ticks),
]
EITHER = token("read") | certificate("member")
ACCESS = AccessTable(
    {
        (WEBSOCKET, "/careless"): EITHER,
        (WEBSOCKET, "/echo"): EITHER,
        (WEBSOCKET, "/deaf"): EITHER,
        ("GET", "/ticks"): EITHER,
    }
)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "tls")
    init(store, names=parse_names(["localhost"]))
    return store


@pytest.fixture
def plain(start):
    return start(routes=ROUTES, access=ACCESS, tls="off")


@pytest.fixture
def clock():
    """A clock that can be set forward."""

    def now():
        return SYSTEM() + now.ahead

    now.ahead = timedelta(0)
    return now


@pytest.fixture
def secured(start, store, clock):
    return start(routes=ROUTES, access=ACCESS, tls=store, clock=clock)


def _websocket(server, path="/echo", *, bearer=None, context=None, origin=None, host=None):
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    scheme = "ws" if context is None else "wss"
    return connect(
        f"{scheme}://{host or 'localhost'}:{server.serving.port}{path}",
        sock=server.connect(),
        ssl=context,
        origin=origin,
        additional_headers=headers,
        open_timeout=LONGEST_WAIT,
        close_timeout=LONGEST_WAIT,
        proxy=None,
    )


def _refusal(server, path="/echo", **options):
    with pytest.raises(InvalidStatus) as caught, _websocket(server, path, **options):
        pass
    response = caught.value.response
    return response.status_code, json.loads(response.body)["error"]["message"]


def _context(store, directory=None):
    context = ssl.create_default_context(cafile=str(store.directory / "trust.pem"))
    if directory is not None:
        context.load_cert_chain(directory / "server.crt", directory / "server.key")
    return context


def _member(store, directory, role="member"):
    """The serial number of a new certificate, and a context that shows it."""
    made = mint(store, parse_names(["box.lan"]), directory, role=role)
    return f"{made.serial:x}", _context(store, directory)


def test_a_websocket_is_refused_with_the_status_of_a_request(plain, caplog):
    right = plain.token
    assert _refusal(plain) == (401, "a valid bearer token is needed")
    assert _refusal(plain, bearer="0" * 64)[0] == 401
    assert _refusal(plain, f"/echo?token={right}")[0] == 401
    assert _refusal(plain, bearer=add_token("test", "other", ["write"]))[0] == 403
    assert _refusal(plain, bearer=right, origin="http://evil.example")[0] == 403
    assert _refusal(plain, bearer=right, host="evil.example")[0] == 421
    assert _refusal(plain, "/ticks", bearer=right)[0] == 404
    assert _refusal(plain, "/nowhere", bearer=right)[0] == 404
    assert plain.ask(path="/echo")[0] == 404  # a request is no WebSocket
    assert caplog.records == []  # and none of it is an error of ours


def test_a_websocket_knows_its_peer_by_token(plain):
    bearer = add_token("test", "laptop", ["read"])
    with _websocket(plain, bearer=bearer, origin=f"http://localhost:{plain.serving.port}") as websocket:
        assert json.loads(websocket.recv(LONGEST_WAIT)) == {"name": "laptop", "role": None}
        websocket.send("hello")
        assert websocket.recv(LONGEST_WAIT) == "hello"


def test_a_websocket_knows_its_peer_by_certificate(secured, store, tmp_path):
    _, context = _member(store, tmp_path / "box")
    with _websocket(secured, context=context) as websocket:
        said = json.loads(websocket.recv(LONGEST_WAIT))
    assert (said["role"], len(said["name"])) == ("member", 36)
    _, submitter = _member(store, tmp_path / "other", "submitter")
    assert _refusal(secured, context=submitter)[0] == 401  # its role is not enough there, and a token would be
    assert _refusal(secured, context=_context(store))[0] == 401
    with _websocket(secured, context=_context(store), bearer=secured.token) as websocket:
        assert json.loads(websocket.recv(LONGEST_WAIT)) == {"name": "", "role": None}


def _closing(websocket):
    """The code and reason that the server closes with, after whatever it says before."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            websocket.recv(LONGEST_WAIT)
    return caught.value.rcvd.code, caught.value.rcvd.reason


OVER = (1008, "the credential of this connection does not count any more")


@pytest.mark.parametrize("path", ["/echo", "/deaf"])
def test_a_websocket_ends_when_its_token_is_removed(plain, path, caplog):
    bearer = add_token("test", "laptop", ["read"])
    with _websocket(plain, bearer=bearer) as first, _websocket(plain, path, bearer=bearer) as second:
        first.recv(LONGEST_WAIT)
        remove_token("test", "laptop")
        assert _closing(first) == _closing(second) == OVER
    assert _refusal(plain, bearer=bearer)[0] == 401
    assert "ERROR" not in [record.levelname for record in caplog.records]


def test_a_websocket_ends_when_its_certificate_is_revoked_and_others_go_on(secured, store, tmp_path):
    serial, context = _member(store, tmp_path / "box")
    _, other = _member(store, tmp_path / "other")
    with _websocket(secured, context=context) as websocket, _websocket(secured, context=other) as bystander:
        bystander.recv(LONGEST_WAIT)
        revoke(store, serial)
        assert _closing(websocket) == OVER
        bystander.send("still here")
        assert bystander.recv(LONGEST_WAIT) == "still here"


def test_a_websocket_ends_when_its_certificate_runs_out(secured, store, tmp_path, clock):
    _, context = _member(store, tmp_path / "box")
    with _websocket(secured, context=context) as websocket:
        websocket.recv(LONGEST_WAIT)
        clock.ahead = timedelta(days=400)
        assert _closing(websocket) == OVER


def test_a_long_answer_ends_when_the_certificate_of_its_reader_is_revoked(secured, store, tmp_path, caplog):
    serial, context = _member(store, tmp_path / "box")
    connection = http.client.HTTPSConnection("localhost", secured.serving.port, timeout=LONGEST_WAIT, context=context)
    connection.request("GET", "/ticks")
    answer = connection.getresponse()
    assert (answer.status, answer.read(5)) == (200, b"tick\n")
    revoke(store, serial)
    with pytest.raises(http.client.IncompleteRead):  # cut, so that nobody takes it for the whole
        answer.read()
    connection.close()
    assert "ERROR" not in [record.levelname for record in caplog.records]


def test_open_websockets_are_told_that_the_server_restarts(start):
    server = start(routes=ROUTES, access=ACCESS, tls="off")
    with _websocket(server, bearer=server.token) as listening, _websocket(server, "/deaf", bearer=server.token) as mute:
        listening.recv(LONGEST_WAIT)
        server.serving.stop()
        assert _closing(listening)[0] == _closing(mute)[0] == 1012


@pytest.mark.parametrize("word", ["listen", "speak"])
def test_a_client_that_leaves_in_the_middle_is_no_error_of_the_application(run, caplog, word):
    with (
        run(routes=ROUTES, access=ACCESS, tls="off") as server,
        _websocket(server, "/careless", bearer=server.token) as websocket,
    ):
        websocket.send(word)
        if word == "speak":
            assert websocket.recv(LONGEST_WAIT) == "tick"
        websocket.socket.shutdown(socket.SHUT_RDWR)
    assert "Traceback" not in caplog.text
    assert "ERROR" not in [record.levelname for record in caplog.records]


def test_a_message_may_be_as_large_as_a_body(start):
    server = start(routes=ROUTES, access=ACCESS, tls="off", max_body=1000)
    with _websocket(server, bearer=server.token) as websocket:
        websocket.recv(LONGEST_WAIT)
        websocket.send("x" * 1000)
        assert websocket.recv(LONGEST_WAIT) == "x" * 1000
        websocket.send("x" * 1001)
        assert _closing(websocket)[0] == 1009
