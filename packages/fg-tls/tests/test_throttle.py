"""Guesses get slower; nobody else does."""

import http.client

from hypothesis import given
from hypothesis import strategies as st

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
    assert throttle.wait("192.168.1.2") == 0
    assert _failures(throttle, "192.168.1.2", 8) == [1, 2, 4, 8, 16, 32, 60, 60]
    assert throttle.wait("192.168.1.2") == 60
    assert throttle.wait("::ffff:192.168.1.2") == 60
    assert throttle.wait("192.168.1.3") == 0


def test_a_wait_ends_and_old_failures_are_forgotten():
    time = Time()
    throttle = Throttle(now=time)
    _failures(throttle, "192.168.1.2", FREE_FAILURES + 2)
    time.now = 1.5
    assert throttle.wait("192.168.1.2") == 1
    time.now = 2.0
    assert throttle.wait("192.168.1.2") == 0
    assert throttle.failed("192.168.1.2") == 4
    time.now = 2000.0
    assert throttle.failed("192.168.1.2") == 0


def test_a_subscriber_with_ipv6_is_one_address():
    throttle = Throttle(now=Time())
    for number in range(FREE_FAILURES + 1):
        throttle.failed(f"2001:db8:1:2::{number:x}")
    assert throttle.wait("2001:db8:1:2:ffff::1") == 1
    assert throttle.wait("2001:db8:1:3::1") == 0
    assert throttle.wait("fe80::1%eth0") == 0


def test_loopback_is_told_to_wait_and_yet_heard():
    throttle = Throttle(now=Time())
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.9", ""):
        assert _failures(throttle, address, FREE_FAILURES + 3)[-1] == 4
        assert throttle.wait(address) == 0


def test_guesses_from_everywhere_are_slowed_without_stopping_anybody_else():
    throttle = Throttle(now=Time())
    waits = [throttle.failed(f"10.0.{number // 250}.{number % 250}") for number in range(1001)]
    assert (waits[:1000], waits[1000]) == ([0] * 1000, 1)
    assert throttle.wait("10.9.9.9") == 0


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50))
def test_memory_is_bounded_and_no_wait_is_longer_than_a_minute(starts):
    throttle = Throttle(now=Time())
    for start in starts:
        for offset in range(200):
            number = (start + offset) % 2**32
            wait = throttle.failed(".".join(map(str, number.to_bytes(4))))
            assert 0 <= wait <= 60
    assert len(throttle._records) <= _MOST_ADDRESSES


def _ask(server, token, source):
    connection = http.client.HTTPConnection("127.0.0.1", server.serving.port, timeout=30, source_address=(source, 0))
    connection.request("GET", "/items", headers={"Authorization": f"Bearer {token}", "Host": "localhost"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.getheader("Retry-After")


def test_a_server_tells_who_guesses_to_wait_and_serves_its_owner(server):
    wrong = [_ask(server, "0" * 64, "127.0.0.2") for _ in range(FREE_FAILURES + 2)]
    assert wrong == [(401, None)] * FREE_FAILURES + [(429, "1"), (429, "2")]
    assert _ask(server, server.token, "127.0.0.3") == (200, None)
    assert _ask(server, server.token, "127.0.0.2") == (200, None)  # the address of everybody on this machine
    assert _ask(server, "0" * 64, "127.0.0.3") == (401, None)


def test_requests_without_a_token_are_no_guesses(server):
    for _ in range(FREE_FAILURES + 5):
        assert server.ask(headers={"Authorization": None})[0] == 401
    assert server.ask(token="0" * 64)[0] == 401
