"""Attacks on a real listener, over real sockets."""

import json

import pytest

from fg_tls import PUBLIC, AccessTable, TokenStore, token
from fg_tls.listener.guard import MAX_BODY_BYTES

LIMIT = 1000


def test_a_bearer_of_the_token_is_served(server):
    status, _, body = server.ask("POST", "/items", body=b"12345")
    assert (status, json.loads(body)) == (200, {"path": "/items", "size": 5, "scopes": ["*"]})


def test_a_public_route_needs_no_token(server):
    assert server.ask("GET", "/health", headers={"Authorization": None})[0] == 200


@pytest.mark.parametrize("path", ["/items", "/items/x", "/forever", "/nowhere", "/"])
def test_without_a_token_every_method_of_every_other_path_is_refused(server, path):
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        status, headers, _ = server.ask(method, path, headers={"Authorization": None})
        assert (method, status, headers["WWW-Authenticate"]) == (method, 401, "Bearer")


def test_the_credential_must_be_the_one_right_bearer_token(server):
    right = server.token.encode()
    wrong = [
        b"Authorization: Bearer ",
        b"Authorization: Bearer " + right[:-1],
        b"Authorization: Bearer " + right + b"0",
        b"Authorization: Bearer \xff\xfe\x00"[:-1],
        "Authorization: Bearer ключ".encode(),
        b"Authorization: Basic " + right,
        b"Authorization: " + right,
        b"Cookie: token=" + right,
        b"X-Api-Key: " + right,
        b"Authorization: Bearer " + right + b"\r\nAuthorization: Bearer " + right,
    ]
    statuses = [server.status(b"GET /items HTTP/1.1", b"Host: localhost", each) for each in wrong]
    assert statuses == [401] * len(wrong)
    assert server.status(b"GET /items?token=" + right + b" HTTP/1.1", b"Host: localhost") == 401
    assert server.status(b"GET /items HTTP/1.1", b"Host: localhost", b"authorization: BEARER " + right) == 200


def test_only_loopback_names_are_answered(server):
    bearer = b"Authorization: Bearer " + server.token.encode()

    def status(*hosts):
        return server.status(b"GET /items HTTP/1.1", *(b"Host: " + host for host in hosts), bearer)

    good = [b"localhost", b"LOCALHOST:1234", b"127.0.0.1", b"[::1]:8137"]
    assert [status(host) for host in good] == [200] * len(good)
    evil = [b"evil.example", b"localhost.evil.example", b"127.0.0.1.nip.io", b"127.0.0.2", b"0.0.0.0", b"2130706433"]
    evil += [b"me@localhost", b"localhost@evil.example", b"localhost:80:80", b"localhost.", b"", b"localhost,evil"]
    assert [status(host) for host in evil] == [421] * len(evil)
    assert status(b"localhost", b"evil.example") in (400, 421)
    assert status() in (400, 421)
    assert server.status(b"GET /health HTTP/1.1", b"Host: evil.example") == 421
    forwarded = (b"Host: evil.example", b"X-Forwarded-Host: localhost")
    assert server.status(b"GET /items HTTP/1.1", *forwarded, bearer) == 421


def test_pages_of_other_sites_are_refused(server):
    own = f"localhost:{server.serving.port}"

    def status(**headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return server.ask("GET", "/health", headers={"Host": own} | named)[0]

    assert status(Origin=f"http://{own}") == 200
    assert status(Sec_Fetch_Site="same-origin") == 200
    assert status(Origin="http://evil.example") == 403
    assert status(Origin="null") == 403
    assert status(Origin="http://localhost:1") == 403
    assert status(Origin=f"https://{own}") == 403
    assert status(Sec_Fetch_Site="cross-site") == 403
    assert status(Sec_Fetch_Site="same-site") == 403


def test_paths_in_disguise_are_not_public_and_lead_nowhere(server):
    tricks = [b"//health", b"/health/", b"/HEALTH", b"/./health", b"/x/../health", b"/%2e/health", b"/x/%2e%2e/health"]
    tricks += [
        b"/health%2f",
        b"/health%00",
        b"/health%0a",
        b"/health;x",
        b"/items/..%2f..%2fhealth",
        b"/\\health",
        b"//items",
    ]
    bearer = b"Authorization: Bearer " + server.token.encode()
    for path in tricks:
        request = b"GET " + path + b" HTTP/1.1"
        assert server.status(request, b"Host: localhost") in (400, 401), path
        assert server.status(request, b"Host: localhost", bearer) in (400, 404), path


def test_a_path_that_several_entries_match_needs_what_each_of_them_asks_for():
    entries = {("GET", "/items/open"): PUBLIC, ("GET", "/items/{name}"): token("read")}
    entries |= {("GET", "/{kind}/mine"): token("write"), ("GET", "/health"): PUBLIC}
    for table in (AccessTable(entries), AccessTable(dict(reversed(entries.items())))):
        assert set(table.find("GET", "/items/open")) == {PUBLIC, token("read")}
        assert set(table.find("GET", "/items/mine")) == {token("read"), token("write")}
        assert table.find("HEAD", "/health") == (PUBLIC,)
        assert table.find("POST", "/health") == ()


def test_a_request_for_another_server_is_not_forwarded(server):
    assert server.status(b"GET http://evil.example/health HTTP/1.1", b"Host: localhost") in (400, 401)


def test_head_and_unlisted_methods(server):
    status, _, body = server.ask("HEAD", "/items")
    assert (status, body) == (200, b"")
    status, headers, _ = server.ask("OPTIONS", "/items")
    assert (status, headers["Allow"]) == (405, "GET, POST")
    assert server.ask("GET", "/nowhere")[0] == 404


def test_scopes_limit_what_a_token_may_do(start, tmp_path):
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text(f"{'r' * 64} read\n{'a' * 64} write admin\n{'f' * 64}\n")
    server = start(TokenStore(path))
    assert server.ask("GET", "/items", token="r" * 64)[0] == 200
    status, headers, _ = server.ask("DELETE", "/items/x", token="r" * 64)
    assert (status, headers["WWW-Authenticate"]) == (403, 'Bearer error="insufficient_scope", scope="admin write"')
    assert json.loads(server.ask("DELETE", "/items/x", token="a" * 64)[2])["scopes"] == ["admin", "write"]
    assert server.ask("GET", "/items", token="a" * 64)[0] == 403
    assert json.loads(server.ask("GET", "/items", token="f" * 64)[2])["scopes"] == ["*"]


def test_a_body_that_says_it_is_too_large_is_refused_unread(server):
    bearer = b"Authorization: Bearer " + server.token.encode()
    length = b"Content-Length: %d" % (MAX_BODY_BYTES + 1)
    assert server.status(b"POST /items HTTP/1.1", b"Host: localhost", bearer, length) == 413


def test_websockets_are_denied(server):
    upgrade = (b"Host: localhost", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: AAAA")
    assert server.status(b"GET /items HTTP/1.1", *upgrade) == 401
    assert b" 101 " not in server.raw(b"GET /health HTTP/1.1", *upgrade).splitlines()[0]


def test_an_unlimited_body_ends_where_the_limit_is(start, caplog):
    server = start(max_body=LIMIT)
    chunk = b"%x\r\n%s\r\n" % (LIMIT // 2, b"x" * (LIMIT // 2))

    def answer(chunks):
        with server.connect() as connection:
            bearer = b"Authorization: Bearer " + server.token.encode()
            lines = [b"POST /items HTTP/1.1", b"Host: localhost", bearer, b"Transfer-Encoding: chunked", b"", b""]
            connection.sendall(b"\r\n".join(lines) + chunk * chunks)
            if chunks <= 2:
                connection.sendall(b"0\r\n\r\n")
            return connection.recv(65536).split(b"\r\n")[0]

    assert answer(2) == b"HTTP/1.1 200 OK"
    assert answer(3).startswith(b"HTTP/1.1 413 ")
    assert caplog.records == []
