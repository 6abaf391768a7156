"""Browsers as confused deputies: DNS rebinding, forged origins and requests across sites, with the right token."""

import pytest

from .target import FULL_TOKEN, request

BEARER = b"Authorization: Bearer " + FULL_TOKEN.encode()

HOSTS = {
    "rebinding": b"Host: evil.example",
    "our name as a prefix": b"Host: localhost.evil.example",
    "our name as a suffix": b"Host: evil-localhost",
    "subdomain of ours": b"Host: evil.localhost",
    "wildcard DNS": b"Host: 127.0.0.1.nip.io",
    "another loopback address": b"Host: 127.0.0.2",
    "unspecified address": b"Host: 0.0.0.0",
    "decimal address": b"Host: 2130706433",
    "octal address": b"Host: 0177.0.0.1",
    "hexadecimal address": b"Host: 0x7f.0.0.1",
    "short address": b"Host: 127.1",
    "trailing dot": b"Host: localhost.",
    "userinfo before us": b"Host: evil@localhost",
    "us as userinfo": b"Host: localhost@evil.example",
    "password": b"Host: localhost:80@evil.example",
    "two ports": b"Host: localhost:80:80",
    "port with letters": b"Host: localhost:80a",
    "port with six digits": b"Host: localhost:123456",
    "signed port": b"Host: localhost:+80",
    "path": b"Host: localhost/evil.example",
    "fragment": b"Host: localhost#evil.example",
    "list": b"Host: localhost,evil.example",
    "inner space": b"Host: localhost evil.example",
    "empty": b"Host: ",
    "IPv4 in IPv6": b"Host: [::ffff:127.0.0.1]",
    "IPv6 with a zone": b"Host: [::1%25lo]",
    "IPv6 unspecified": b"Host: [::]",
    "IPv6 without an end": b"Host: [::1",
    "IPv6 without brackets": b"Host: ::1",
    "Cyrillic letters": "Host: lосalhost".encode(),
    "punycode": b"Host: xn--localhost-5fg",
    "forwarded host": b"Host: evil.example\r\nX-Forwarded-Host: localhost",
    "forwarded": b"Host: evil.example\r\nForwarded: host=localhost",
    "underscore header": b"Host: evil.example\r\nX_Host: localhost",
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_request_to_another_name_is_misdirected(target, host):
    assert target.statuses(request("GET /items", BEARER, host=host)) == (421,)


@pytest.mark.parametrize("host", [b"Host: evil.example", b"Host: 127.0.0.1.nip.io"])
def test_another_name_does_not_even_get_the_public_route(target, host):
    assert target.statuses(request("GET /health", host=host)) == (421,)


MALFORMED_HOSTS = {
    "none": b"X-Nothing: 1",
    "two": b"Host: localhost\r\nHost: evil.example",
    "two alike": b"Host: localhost\r\nHost: localhost",
    "two in the other order": b"Host: evil.example\r\nHost: localhost",
    "space before the colon": b"Host : localhost",
    "continued line": b"Host: localhost\r\n evil.example",
}


@pytest.mark.parametrize("host", MALFORMED_HOSTS.values(), ids=MALFORMED_HOSTS)
def test_a_request_without_exactly_one_host_is_malformed(target, host):
    (status,) = target.statuses(request("GET /items", BEARER, host=host))
    assert status in (400, 421)


def test_an_absolute_target_of_another_host_is_not_believed(target):
    line = "GET http://evil.example/items"
    (status,) = target.statuses(request(line, BEARER))
    assert status in (400, 404, 421)


ORIGINS = {
    "another site": (b"Origin: https://evil.example",),
    "null": (b"Origin: null",),
    "empty": (b"Origin: ",),
    "another port": (b"Origin: https://localhost:1",),
    "another scheme": (b"Origin: ftp://localhost",),
    "a suffix of ours": (b"Origin: https://evil-localhost",),
    "ours as userinfo": (b"Origin: https://localhost@evil.example",),
    "ours with a path": (b"Origin: https://localhost/x",),
    "an extension": (b"Origin: chrome-extension://abcdefghijklmnop",),
    "a file": (b"Origin: file://",),
    "two in one": (b"Origin: https://localhost https://evil.example",),
    "two headers": (b"Origin: https://evil.example", b"Origin: https://localhost"),
    "cross-site": (b"Sec-Fetch-Site: cross-site",),
    "same-site": (b"Sec-Fetch-Site: same-site",),
    "unknown relation": (b"Sec-Fetch-Site: friendly",),
    "cross-site navigation": (b"Sec-Fetch-Site: cross-site", b"Sec-Fetch-Mode: navigate"),
    "two relations": (b"Sec-Fetch-Site: same-origin", b"Sec-Fetch-Site: cross-site"),
}


@pytest.mark.parametrize("headers", ORIGINS.values(), ids=ORIGINS)
@pytest.mark.parametrize("line", ["POST /upload", "GET /health"])
def test_a_page_of_another_site_is_refused(target, headers, line):
    assert target.statuses(request(line, BEARER, *headers)) == (403,)


SIMPLE_REQUESTS = {
    "text": b"Content-Type: text/plain",
    "form": b"Content-Type: application/x-www-form-urlencoded",
    "multipart": b"Content-Type: multipart/form-data; boundary=x",
    "none": b"X-Nothing: 1",
}


@pytest.mark.parametrize("kind", SIMPLE_REQUESTS.values(), ids=SIMPLE_REQUESTS)
def test_a_form_that_needs_no_preflight_carries_no_credentials(target, kind):
    cookie = b"Cookie: token=" + FULL_TOKEN.encode()
    assert target.statuses(request("POST /upload", kind, cookie, body=b"x=1")) == (401,)


def test_a_preflight_is_not_granted(target):
    asks = (b"Origin: https://evil.example", b"Access-Control-Request-Method: POST")
    answer = target.send(request("OPTIONS /upload", *asks))
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"access-control-allow" not in answer.lower()


def test_trace_does_not_mirror_the_token(target):
    answer = target.send(request("TRACE /items", BEARER))
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert FULL_TOKEN.encode() not in answer
