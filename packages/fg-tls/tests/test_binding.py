"""Addresses to listen on, and the URLs that come of them."""

import ipaddress
import socket

import pytest

from fg_tls import AddressError, Names, PortInUseError, bind
from fg_tls.listener.binding import refuse_clear_text
from fg_tls.listener.urls import urls

MACHINE = Names(
    hostnames=("box", "localhost"),
    addresses=tuple(ipaddress.ip_address(each) for each in ("192.168.1.2", "fd00::2", "127.0.0.1", "::1")),
)
NONE = Names()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::ffff:0.0.0.0", "::ffff:127.0.0.1"])
def test_clear_text_stays_on_loopback(host):
    with bind(host, 0) as listener, pytest.raises(AddressError) as caught:
        refuse_clear_text(listener)
    message = str(caught.value)
    assert message.startswith(f"refuses to listen on {host} port ")
    assert all(way in message for way in ("forgather tls init", "forgather tls join", "ssh -L", "--insecure"))


@pytest.mark.parametrize(("host", "bound"), [("localhost", "127.0.0.1"), ("127.0.0.9", "127.0.0.9"), ("::1", "::1")])
def test_loopback_needs_no_tls(host, bound):
    with bind(host, 0) as listener:
        refuse_clear_text(listener)
        assert listener.getsockname()[0] == bound


def test_every_address_of_ipv6_is_every_address_of_ipv4_too(monkeypatch):
    """Whatever the system does unasked: macOS and Linux differ, and Linux can be told to."""

    class Strict(socket.socket):
        def __init__(self, family, kind):
            super().__init__(family, kind)
            if family == socket.AF_INET6:
                self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)

    monkeypatch.setattr("fg_tls.listener.binding.socket.socket", Strict)
    with bind("::", 0) as listener:
        listener.listen()
        monkeypatch.undo()
        with socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=10):
            listener.accept()[0].close()


@pytest.mark.parametrize("host", ["", "example.org", "127.1", "2130706433", "127.0.0.1:80", "256.0.0.1", "*"])
def test_what_is_no_address(host):
    with pytest.raises(AddressError, match=r"is no address to listen on; write 127\.0\.0\.1, 0\.0\.0\.0 or"):
        bind(host, 0)


def test_an_address_of_another_machine():
    with pytest.raises(AddressError, match=r"^cannot listen on 192\.0\.2\.1 port 0: Cannot assign requested address$"):
        bind("192.0.2.1", 0)


@pytest.mark.parametrize("port", [-1, 65536])
def test_what_is_no_port(port):
    with pytest.raises(AddressError, match=f"^port {port} is not between 0 and 65535$"):
        bind("127.0.0.1", port)


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"^port {port} on 127\.0\.0\.1 is in use; choose another one"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "names", "tls", "expected"),
    [
        ("127.0.0.1", NONE, False, ["http://127.0.0.1:80", "http://localhost:80"]),
        ("::1", NONE, False, ["http://[::1]:80", "http://localhost:80"]),
        ("127.0.0.1", MACHINE, True, ["https://127.0.0.1:80", "https://localhost:80"]),
        ("127.0.0.9", MACHINE, True, ["https://localhost:80"]),
        ("127.0.0.1", Names(hostnames=("public.example",)), True, ["https://public.example:80"]),
        ("192.168.1.2", MACHINE, True, ["https://192.168.1.2:80", "https://box:80"]),
        (
            "0.0.0.0",
            MACHINE,
            True,
            ["https://localhost:80", "https://127.0.0.1:80", "https://box:80", "https://192.168.1.2:80"],
        ),
        (
            "::",
            MACHINE,
            False,
            [
                "http://localhost:80",
                "http://127.0.0.1:80",
                "http://box:80",
                "http://192.168.1.2:80",
                "http://[fd00::2]:80",
                "http://[::1]:80",
            ],
        ),
        ("127.0.0.1", Names(hostnames=("*.public.example", "public.example")), True, ["https://public.example:80"]),
        ("0.0.0.0", Names(hostnames=("public.example",)), True, ["https://public.example:80"]),
    ],
)
def test_urls_are_those_that_clients_can_use(host, names, tls, expected):
    assert list(urls(host, 80, names, tls=tls)) == expected
