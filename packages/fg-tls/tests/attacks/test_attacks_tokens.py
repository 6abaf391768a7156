"""Bearer tokens that are wrong, in the wrong place, or guessed."""

import base64
import hashlib

import pytest

from .target import FULL_TOKEN, READ_TOKEN, request

TOKEN = FULL_TOKEN.encode()
HEADERS = {
    "none": b"X-Nothing: 1",
    "empty": b"Authorization: ",
    "scheme only": b"Authorization: Bearer",
    "scheme and space": b"Authorization: Bearer ",
    "another one": b"Authorization: Bearer " + b"ab" * 32,
    "prefix": b"Authorization: Bearer " + TOKEN[:-1],
    "suffix": b"Authorization: Bearer " + TOKEN[1:],
    "one more character": b"Authorization: Bearer " + TOKEN + b"0",
    "upper case": b"Authorization: Bearer " + TOKEN.upper(),
    "twice": b"Authorization: Bearer " + TOKEN * 2,
    "a list": b"Authorization: Bearer " + TOKEN + b", Bearer " + TOKEN,
    "two tokens": b"Authorization: Bearer " + TOKEN + b" " + READ_TOKEN.encode(),
    "two headers": b"Authorization: Bearer " + TOKEN + b"\r\nAuthorization: Bearer " + TOKEN,
    "right one second": b"Authorization: Bearer x\r\nAuthorization: Bearer " + TOKEN,
    "quoted": b'Authorization: Bearer "' + TOKEN + b'"',
    "without the scheme": b"Authorization: " + TOKEN,
    "basic": b"Authorization: Basic " + base64.b64encode(b":" + TOKEN),
    "basic without encoding": b"Authorization: Basic " + TOKEN,
    "digest": b"Authorization: Digest " + TOKEN,
    "another separator": b"Authorization: Bearer:" + TOKEN,
    "in base64": b"Authorization: Bearer " + base64.b64encode(TOKEN),
    "hash of the token": b"Authorization: Bearer " + hashlib.sha256(TOKEN).hexdigest().encode(),
    "Unicode": "Authorization: Bearer ключ".encode(),
    "fullwidth letters": b"Authorization: Bearer " + FULL_TOKEN.replace("f", "ｆ").encode(),
    "broken UTF-8": b"Authorization: Bearer \xff\xfe\xfd",
    "wildcard": b"Authorization: Bearer *",
    "null": b"Authorization: Bearer null",
    "SQL": b"Authorization: Bearer ' OR 1=1 --",
    "scope of the file": b"Authorization: Bearer read",
    "16 KiB": b"Authorization: Bearer " + b"f" * 16 * 2**10,
    "cookie": b"Cookie: token=" + TOKEN,
    "cookie named like the header": b"Cookie: Authorization=Bearer " + TOKEN,
    "API key": b"X-Api-Key: " + TOKEN,
    "for a proxy": b"Proxy-Authorization: Bearer " + TOKEN,
    "underscore": b"X_Authorization: Bearer " + TOKEN,
    "forwarded": b"X-Forwarded-Authorization: Bearer " + TOKEN,
    "referrer": b"Referer: https://localhost/?token=" + TOKEN,
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_only_the_right_token_in_the_one_right_header_counts(target, header):
    assert target.statuses(request("POST /upload", header, body=b"x")) == (401,)


@pytest.mark.parametrize("query", ["token=", "access_token=", "api_key=", "authorization=Bearer%20"])
def test_a_token_in_the_address_does_not_count_and_is_not_logged(target, query):
    assert target.statuses(request(f"GET /items?{query}{FULL_TOKEN}")) == (401,)
    assert FULL_TOKEN not in target.log()


def test_a_token_in_the_body_does_not_count(target):
    assert target.statuses(request("POST /upload", body=b"access_token=" + TOKEN)) == (401,)


def test_nul_in_a_token_is_malformed(target):
    assert target.statuses(request("GET /items", b"Authorization: Bearer " + TOKEN + b"\x00")) == (400,)


def test_who_guesses_is_told_to_wait(target):
    guesses = [b"Authorization: Bearer %064x" % number for number in range(40)]
    statuses = [target.statuses(request("GET /items", guess)) for guess in guesses]
    assert statuses[0] == (401,)
    assert set(statuses) == {(401,), (429,)}
    assert statuses == sorted(statuses), "once told to wait, a guesser is told so again"


def test_an_answer_to_a_wrong_token_tells_nothing_about_the_right_one(target):
    answers = {target.send(request("GET /items", b"Authorization: Bearer " + each)) for each in (b"x", TOKEN[:-1])}
    bodies = {each.partition(b"\r\n\r\n")[2] for each in answers}
    assert len(bodies) == 1
    assert TOKEN[:8] not in bodies.pop()
