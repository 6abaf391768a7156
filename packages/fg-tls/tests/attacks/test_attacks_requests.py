"""Requests that two programs may read differently: smuggling, malformed heads, bodies that lie, and odd paths.

RFC 9112 sections 2.2, 3, 5.1, 6.1, 6.3, 7.1 and 11.2 say what a server must refuse.
"""

import time
from contextlib import suppress

import pytest

from .target import FULL_TOKEN, READ_TOKEN, read_to_the_end, request

BEARER = b"Authorization: Bearer " + FULL_TOKEN.encode()
SMUGGLED = b"GET /items HTTP/1.1\r\nHost: localhost\r\n" + BEARER + b"\r\nConnection: close\r\n\r\n"

FRAMINGS = {
    "both lengths": b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    "both lengths in the other order": b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    "two different lengths": b"Content-Length: 5\r\nContent-Length: 0",
    "a list of different lengths": b"Content-Length: 5, 0",
    "length with a plus": b"Content-Length: +5",
    "length with a minus": b"Content-Length: -5",
    "hexadecimal length": b"Content-Length: 0x5",
    "length with a space": b"Content-Length: 5 0",
    "length with a point": b"Content-Length: 5.0",
    "length with an underscore": b"Content-Length: 0_5",
    "length in Arabic digits": "Content-Length: ٥".encode(),
    "empty length": b"Content-Length: ",
    "quoted length": b'Content-Length: "5"',
    "length of forty digits": b"Content-Length: " + b"9" * 40,
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "chunked and another one": b"Transfer-Encoding: chunked, identity",
    "another one and chunked": b"Transfer-Encoding: gzip, chunked",
    "identity": b"Transfer-Encoding: identity",
    "misspelt chunked": b"Transfer-Encoding: xchunked",
    "chunked in quotes": b'Transfer-Encoding: "chunked"',
    "chunked behind a vertical tab": b"Transfer-Encoding: \x0bchunked",
    "chunked with a NUL": b"Transfer-Encoding: chunked\x00",
    "space before the colon": b"Transfer-Encoding : chunked",
    "tab before the colon": b"Transfer-Encoding\t: chunked",
    "line without a colon": b"Transfer-Encoding",
    "bare line feed inside": b"X: 1\nTransfer-Encoding: chunked\x00",
    "bare carriage return inside": b"X: 1\rTransfer-Encoding: chunked",
}


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
def test_a_body_whose_end_is_in_doubt_hides_no_second_request(target, framing):
    head = b"POST /upload HTTP/1.1\r\nHost: localhost\r\n" + BEARER + b"\r\n" + framing + b"\r\n\r\n"
    (status,) = target.statuses(head + b"0\r\n\r\n" + SMUGGLED)
    assert status in (400, 413, 501)


CHUNKS = {
    "size is no number": b"zz\r\nhello\r\n",
    "negative size": b"-5\r\nhello\r\n",
    "signed size": b"+5\r\nhello\r\n",
    "size with 0x": b"0x5\r\nhello\r\n",
    "size with a space": b"5 5\r\nhello\r\n",
    "size with an underscore": b"0_5\r\nhello\r\n",
    "size of forty digits": b"f" * 40 + b"\r\nhello\r\n",
    "empty size": b"\r\nhello\r\n",
    "longer than announced": b"5\r\nhello!\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
def test_malformed_chunks_end_the_connection(target, chunks):
    """The head is in order, so the application is called; its body never ends, and the second request is not read."""
    head = b"POST /upload HTTP/1.1\r\nHost: localhost\r\n" + BEARER + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    before = len(target.entries())
    with target.connect() as connection:
        connection.sendall(head)
        while len(target.entries()) == before:
            time.sleep(0.01)
        with suppress(OSError):
            connection.sendall(chunks + SMUGGLED)
        answer = read_to_the_end(connection)
    assert answer.count(b"HTTP/1.1 ") == answer.count(b"HTTP/1.1 400 ") <= 1
    target.expects("POST '/upload'")


HEADS = {
    "no version": b"GET /items\r\n\r\n",
    "HTTP/0.9": b"GET /items HTTP/0.9\r\nHost: localhost\r\n\r\n",
    "HTTP/2.0": b"GET /items HTTP/2.0\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "HTTP/1.10": b"GET /items HTTP/1.10\r\nHost: localhost\r\n\r\n",
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "leading space": b" GET /items HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two spaces": b"GET  /items HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tabs for spaces": b"GET\t/items\tHTTP/1.1\r\nHost: localhost\r\n\r\n",
    "space in the target": b"GET /items x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "NUL in the target": b"GET /items\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bare carriage return in the target": b"GET /items\rX HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "method with a colon": b"GET: /items HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "NUL in the method": b"G\x00T /items HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "empty header name": request("GET /items", BEARER, b": x"),
    "NUL in a header name": request("GET /items", BEARER, b"X\x00Y: 1"),
    "space in a header name": request("GET /items", BEARER, b"X Y: 1"),
    "non-ASCII header name": request("GET /items", BEARER, "Ключ: 1".encode()),
    "NUL in a header": request("GET /items", BEARER, b"X: a\x00b"),
    "carriage return in a header": request("GET /items", BEARER, b"X: a\rb"),
    "first line folded": b"GET /items HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "binary": bytes(range(256)) * 4 + b"\r\n\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_malformed_head_gets_nothing_but_refusals(target, head):
    assert set(target.statuses(head)) <= {400, 401, 421}


LARGE = {
    "one header of 1 MiB": b"X: " + b"a" * 2**20,
    "10,000 headers": b"\r\n".join(b"X-%d: 1" % number for number in range(10_000)),
    "a token of 1 MiB": b"Authorization: Bearer " + b"f" * 2**20,
    "a cookie of 1 MiB": b"Cookie: " + b"c=1; " * 2**18,
    "a folded header without an end": b"X: 1" + b"\r\n 1" * 2**18,
}


@pytest.mark.parametrize("header", LARGE.values(), ids=LARGE)
def test_a_head_without_measure_is_not_read_to_its_end(target, header):
    assert target.statuses(request("GET /items", BEARER, header)) in ((400,), (431,), ())


def test_a_target_of_one_mebibyte_is_refused(target):
    assert target.statuses(request("GET /" + "a" * 2**20, BEARER)) in ((400,), (414,), (431,), ())


def test_a_declared_body_beyond_the_limit_is_refused_before_it_is_sent(target):
    lines = [b"POST /upload HTTP/1.1", b"Host: localhost", BEARER, b"Content-Length: 999999999999", b"", b""]
    assert target.statuses(b"\r\n".join(lines)) == (413,)


def test_a_pipelined_request_is_judged_on_its_own(target):
    first = b"GET /items HTTP/1.1\r\nHost: localhost\r\n" + BEARER + b"\r\n\r\n"
    seconds = [request("GET /items"), request("GET /items", BEARER, host=b"Host: evil.example")]
    assert [target.statuses(first + second) for second in seconds] == [(200, 401), (200, 421)]
    target.expects("GET '/items'", "GET '/items'")


def test_a_refused_body_is_not_read_as_a_request(target):
    """Its sender has no token; what it claims to be a body is a request that has one."""
    head = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n" % len(SMUGGLED)
    (status,) = target.statuses(head + b"Connection: close\r\n\r\n" + SMUGGLED)
    assert status == 401


PATHS = {
    "dot dot": "/public/../items",
    "encoded dot dot": "/health/%2e%2e/items",
    "doubly encoded dot dot": "/health/%252e%252e/items",
    "double slash": "//items",
    "slash at the end": "/items/x/",
    "upper case": "/ITEMS",
    "encoded slash": "/health%2f..%2fitems",
    "backslash": "/health\\..\\items",
    "parameters": "/health;/items",
    "parameters at the end": "/items;x",
    "NUL at the end": "/items%00",
    "public name behind NUL": "/items%00/health",
    "line feed at the end": "/health%0a",
    "overlong UTF-8": "/%c0%afitems",
    "broken percent encoding": "/items%zz",
    "etc passwd": "/../../../../etc/passwd",
    "fragment": "/upload#/health",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_path_that_is_not_declared_reaches_nothing_without_and_with_a_token(target, path):
    (without,) = target.statuses(request(f"GET {path}"))
    (with_token,) = target.statuses(request(f"GET {path}", BEARER))
    assert without in (400, 401)
    assert with_token in (400, 404, 405)


PUBLIC_LOOKALIKES = ["/health/", "/health/x", "/Health", "/%68ealth/../items", "/healthz", "/health;x", "/health%20"]


@pytest.mark.parametrize("path", PUBLIC_LOOKALIKES)
def test_what_only_looks_like_the_public_path_is_not_public(target, path):
    assert target.statuses(request(f"GET {path}")) == (401,)


METHODS = ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "WEBSOCKET", "GETX"]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_is_not_declared_is_refused(target, method):
    assert target.statuses(request(f"{method} /health"))[0] in (400, 401, 405)
    assert target.statuses(request(f"{method} /items", BEARER))[0] in (400, 401, 404, 405)


OVERRIDES = [b"X-HTTP-Method-Override: GET", b"X-Original-URL: /items", b"X-Rewrite-URL: /items", b"X-Real-IP: ::1"]


@pytest.mark.parametrize("header", OVERRIDES)
def test_headers_for_proxies_change_nothing(target, header):
    assert target.statuses(request("POST /items", BEARER, header)) == (405,)


def test_a_token_with_a_narrow_scope_does_not_widen(target):
    narrow = b"Authorization: Bearer " + READ_TOKEN.encode()
    assert target.statuses(request("POST /upload", narrow, body=b"x")) == (403,)
