"""An address that was refused many times is told to wait; whoever has a right token is heard all the same."""

import asyncio

import httpx
import pytest

from fg_tls.issuing import issuer_app
from fg_tls.issuing.issuer_app import create_issuer_app
from fg_tls.listener.throttle import FREE_FAILURES

from .hosts import join_request


def answers(app, address, path, bodies):
    """The statuses of requests that come from `address`, one after the other."""

    async def ask():
        transport = httpx.ASGITransport(app, client=(address, 50000))
        async with httpx.AsyncClient(transport=transport, base_url="https://issuer.lan") as client:
            return [(await client.post(path, content=body)).status_code for body in bodies]

    return asyncio.run(ask())


@pytest.mark.parametrize("path", ["/v1/join", "/v1/prove"])
def test_who_was_refused_often_is_told_to_wait_and_fills_no_log(issuer, path, caplog):
    app = create_issuer_app(issuer)
    statuses = answers(app, "192.168.7.9", path, [b"{}"] * (FREE_FAILURES + 40))
    assert statuses == [403] * FREE_FAILURES + [429] * 40
    ours = [each for each in caplog.records if each.name == issuer_app.__name__]
    assert len(ours) == FREE_FAILURES
    assert answers(app, "192.168.7.10", path, [b"{}"]) == [403]
    token = issuer.create_token(endpoints=["192.168.7.1:8767"])
    assert answers(app, "192.168.7.9", "/v1/join", [join_request(token)]) == [200]


def test_trouble_of_our_own_is_not_counted(issuer):
    token = issuer.create_token(endpoints=["192.168.7.1:8767"])
    good = issuer.books.path.read_bytes()
    issuer.books.path.write_bytes(b"nonsense")
    app = create_issuer_app(issuer)
    assert set(answers(app, "192.168.7.9", "/v1/join", [join_request(token)] * (FREE_FAILURES + 2))) == {503}
    issuer.books.path.write_bytes(good)
    assert answers(app, "192.168.7.9", "/v1/join", [b"{}", join_request(token)]) == [403, 200]
