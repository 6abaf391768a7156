"""Clients against real servers: whom they give a token, and what they send in clear text."""

import contextlib

import pytest

from fg_tls import PeerError, TokenFileError
from fg_tls.clients.connections import connect, http_connection

from .recorder import TOKEN, seen


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_both_kinds_of_connection_reach_a_server_with_its_token(start, host, tls):
    store = host("a")
    server = start(tls=store if tls else "off")
    options = {"token_file": server.serving.token_file, "store": store}
    root = f"{'https' if tls else 'http'}://127.0.0.1:{server.serving.port}"
    with connect(root, **options) as client:
        assert client.get("/items").json()["path"] == "/items"
        assert client.post("items", content=b"x" * 1000).json()["size"] == 1000
    with connect(f"{root}/items", **options) as client:
        assert client.delete("/name").json()["path"] == "/items/name"
    with contextlib.closing(http_connection(root, **options)) as connection:
        for _ in range(2):
            connection.request("GET", "/items")
            answer = connection.getresponse()
            assert (answer.status, b"/items" in answer.read()) == (200, True)


def test_without_a_token_a_server_says_so(start):
    server = start(tls="off")
    with connect(f"http://127.0.0.1:{server.serving.port}") as client:
        assert client.get("/health").status_code == 200
    with connect(f"http://127.0.0.1:{server.serving.port}", token="wrong" * 10) as client:
        assert client.get("/items").status_code == 401


# --- where a token goes -----------------------------------------------------------------------------------------------


def test_a_token_goes_to_its_origin_only(record):
    own, other = record(), record()
    with connect(f"http://127.0.0.1:{own.port}", token=TOKEN) as client:
        assert client.get("/").text == "ok"
        assert client.get(f"http://127.0.0.1:{other.port}/").text == "ok"
        assert client.get(f"http://localhost:{own.port}/").text == "ok"
    assert seen(own) == [TOKEN, None]
    assert seen(other) == [None]


def test_a_redirect_is_not_followed_and_never_carries_the_token(record):
    target = record()
    location = f"Location: http://127.0.0.1:{target.port}/\r\n".encode()
    own = record(answer=b"HTTP/1.1 307 Moved\r\n" + location + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
    with connect(f"http://127.0.0.1:{own.port}", token=TOKEN) as client:
        assert client.get("/").status_code == 307
        assert target.requests == []
        assert client.get("/", follow_redirects=True).text == "ok"
    assert seen(own) == [TOKEN, TOKEN] and seen(target) == [None]


@pytest.mark.parametrize("url", ["http://10.0.0.1:1/", "http://box.lan/", "http://0.0.0.0:1"])
@pytest.mark.parametrize("make", [connect, http_connection])
def test_clear_text_stays_on_this_machine(make, url):
    with pytest.raises(PeerError, match=r"to http://(.*:\d+) in clear text: everybody .* use https://\1, or a tunnel"):
        make(url)
    with pytest.raises(PeerError, match="refuses to send a token to http://"):
        make(url, token=TOKEN, insecure=True)
    with contextlib.closing(make(url, insecure=True)):
        pass


def test_a_client_of_loopback_sends_nothing_elsewhere_in_clear_text(record):
    own = record()
    with connect(f"http://127.0.0.1:{own.port}") as client, pytest.raises(PeerError, match="clear text; use https"):
        client.get("http://10.0.0.1/")


def test_no_redirect_leads_into_clear_text(record):
    target = b"HTTP/1.1 307 Moved\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n"
    own = record(answer=target)
    with (
        connect(f"http://127.0.0.1:{own.port}") as client,
        pytest.raises(PeerError, match=r"http://10\.0\.0\.1:80 in cl"),
    ):
        client.get("/", follow_redirects=True)


def test_a_client_of_clear_text_trusts_no_certificate(record, host):
    server = record(host("a"))
    with (
        connect("http://127.0.0.1:1", store=host("b")) as client,
        pytest.raises(PeerError),
    ):
        client.get(f"https://127.0.0.1:{server.port}/secret")
    assert "secret" not in "".join(server.requests)


@pytest.mark.parametrize(
    "url", ["", "nowhere", "ftp://a", "http://", "https://a b/", "http://a:99999", "https:///x", "http://2130706433"]
)
def test_what_is_no_url_is_said(url):
    with pytest.raises(PeerError, match="is not the URL of a server; write for example"):
        connect(url)


def test_a_password_in_a_url_is_refused_and_not_repeated():
    with pytest.raises(PeerError, match="carries a user or password") as caught:
        connect("https://user:hunter2@box.lan/")
    assert "hunter2" not in str(caught.value)


def test_a_token_that_no_header_can_carry_is_refused_and_not_repeated():
    for bad in ("", "two words", "line\nbreak", "ümlaut"):
        with pytest.raises(TokenFileError, match="no HTTP header may carry") as caught:
            connect("https://box.lan", token=bad)
        assert not bad or bad not in str(caught.value)


def test_no_proxy_and_no_netrc_sees_a_private_request(record, monkeypatch, tmp_path):
    own, proxy = record(), record()
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    with connect(f"http://127.0.0.1:{own.port}") as client:
        assert client.get("/").text == "ok"
    assert "authorization" not in own.requests[0].lower()
    with connect("http://box.example.org", insecure=True) as client:
        assert client.get("/").text == "ok"
        assert client.get(f"http://127.0.0.1:{own.port}/").text == "ok"
    assert [each.splitlines()[0] for each in proxy.requests] == ["GET http://box.example.org/ HTTP/1.1"]
    assert "authorization" not in proxy.requests[0].lower()


def test_hosts_that_need_no_proxy(record, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", f"127.0.0.1:{record().port}")
    monkeypatch.setenv("NO_PROXY", "no-such-host.invalid")
    with connect("http://box.example.org", insecure=True) as client:
        assert client.get("/").text == "ok"
        with pytest.raises(PeerError, match=r"no address is known for 'no-such-host\.invalid'"):
            client.get("http://no-such-host.invalid/")


def test_a_proxy_that_cannot_be_used_is_said_without_its_password(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "carrier-pigeon://user:hunter2@box.lan")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with (
        connect("http://box.example.org", insecure=True) as client,
        pytest.raises(PeerError, match=r"the proxy in the environment .* cannot be used") as caught,
    ):
        client.get("/")
    assert "hunter2" not in str(caught.value)
