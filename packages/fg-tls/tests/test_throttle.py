"""Guesses get slower; nobody else does."""

import asyncio
import http.client

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse

from fg_tls import AccessTable, TokenStore, token
from fg_tls.listener.guard import Guard
from fg_tls.listener.hosts import AllowedHosts
from fg_tls.listener.throttle import _MOST_ADDRESSES, FREE_FAILURES, Throttle


class Time:
    """Seconds that pass when the test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def _failures(throttle, address, number):
    return [throttle.failed(address) for _ in range(number)]


def test_after_some_wrong_tokens_each_further_one_doubles_the_wait_up_to_a_minute():
    throttle = Throttle(now=Time())
    assert _failures(throttle, "192.168.1.2", FREE_FAILURES) == [0] * FREE_FAILURES
    assert _failures(throttle, "192.168.1.2", 8) == [1, 2, 4, 8, 16, 32, 60, 60]
    assert throttle.failed("::ffff:192.168.1.2") == 60
    assert throttle.failed("192.168.1.3") == 0


def test_old_failures_are_forgotten():
    time = Time()
    throttle = Throttle(now=time)
    assert _failures(throttle, "192.168.1.2", FREE_FAILURES + 2)[-1] == 2
    time.now = 800.0
    assert throttle.failed("192.168.1.2") == 4
    time.now = 2000.0
    assert throttle.failed("192.168.1.2") == 0


def test_a_subscriber_with_ipv6_is_one_address():
    throttle = Throttle(now=Time())
    for number in range(FREE_FAILURES):
        assert throttle.failed(f"2001:db8:1:2::{number:x}") == 0
    assert throttle.failed("2001:db8:1:2:ffff::1") == 1
    assert throttle.failed("2001:db8:1:3::1") == 0
    assert throttle.failed("fe80::1%eth0") == 0


def test_clients_of_a_unix_socket_are_one_address():
    throttle = Throttle(now=Time())
    assert _failures(throttle, "", FREE_FAILURES + 3)[-3:] == [1, 2, 4]


def test_guesses_from_everywhere_are_slowed_together():
    throttle = Throttle(now=Time())
    waits = [throttle.failed(f"10.0.{number // 250}.{number % 250}") for number in range(1001)]
    assert (waits[:1000], waits[1000]) == ([0] * 1000, 1)


def test_a_flood_of_guesses_is_not_one_of_lines_in_the_log(caplog):
    _failures(Throttle(now=Time()), "192.168.1.2", 5000)
    assert len(caplog.records) < 12
    expected = "4096 wrong tokens, now one from 192.168.1.2, which is told to wait 60 s"
    assert caplog.records[-1].getMessage() == expected


def test_a_flood_from_many_addresses_is_not_one_of_lines_either(caplog):
    throttle = Throttle(now=Time())
    for number in range(5000):
        throttle.failed(f"10.{number // 250}.0.{number % 250}")
    assert [record.args[0] for record in caplog.records] == [1024, 2048, 4096]


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50))
def test_memory_is_bounded_and_no_wait_is_longer_than_a_minute(starts):
    throttle = Throttle(now=Time())
    for start in starts:
        for offset in range(200):
            number = (start + offset) % 2**32
            wait = throttle.failed(".".join(map(str, number.to_bytes(4))))
            assert 0 <= wait <= 60
    assert len(throttle._records) <= _MOST_ADDRESSES


def _ask(server, bearer, source):
    connection = http.client.HTTPConnection("127.0.0.1", server.serving.port, timeout=30, source_address=(source, 0))
    connection.request("GET", "/items", headers={"Authorization": f"Bearer {bearer}", "Host": "localhost"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.getheader("Retry-After")


def test_a_server_tells_who_guesses_to_wait_and_serves_its_owner(server):
    wrong = [_ask(server, "0" * 64, "127.0.0.2") for _ in range(FREE_FAILURES + 2)]
    assert wrong == [(401, None)] * FREE_FAILURES + [(429, "1"), (429, "2")]
    assert _ask(server, server.token, "127.0.0.3") == (200, None)
    assert _ask(server, "0" * 64, "127.0.0.3") == (401, None)


def test_requests_without_a_token_are_no_guesses(server):
    for _ in range(FREE_FAILURES + 5):
        assert server.ask(headers={"Authorization": None})[0] == 401
    assert server.ask(token="0" * 64)[0] == 401


@pytest.mark.parametrize("address", ["192.168.1.2", "203.0.113.9", "2001:db8::1", "127.0.0.1"])
def test_a_right_token_is_heard_whoever_guesses_from_the_same_address(tmp_path, address):
    """Routers give one address to everybody behind them."""
    path = tmp_path / "tokens"
    path.touch(mode=0o600)
    path.write_text("a" * 64)
    access = AccessTable({("GET", "/items"): token()})
    guard = Guard(PlainTextResponse("items"), access=access, tokens=TokenStore(path), hosts=AllowedHosts())

    async def statuses(*tokens):
        transport = httpx.ASGITransport(guard, client=(address, 40_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answers = [await client.get("/items", headers={"Authorization": f"Bearer {each}"}) for each in tokens]
        return [answer.status_code for answer in answers]

    assert asyncio.run(statuses(*["0" * 64] * 100)) == [401] * FREE_FAILURES + [429] * (100 - FREE_FAILURES)
    assert asyncio.run(statuses("a" * 64, "0" * 64, "a" * 64)) == [200, 429, 200]
