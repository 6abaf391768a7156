"""What a host that joins, and what members are told of where the issuer is."""

import ipaddress
import logging
import socket
from types import SimpleNamespace

import psutil
import pytest

from fg_tls import Store
from fg_tls.host import this_host
from fg_tls.host.provisioning import init
from fg_tls.issuing.whereabouts import certify_names, every_address, tell_members, token_endpoints
from fg_tls.pki.names import parse_names

from .hosts import served

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@pytest.fixture
def host(monkeypatch):
    """Sets the addresses of this host, and what it is called."""

    def has(*addresses, called="muthur"):
        entries = [
            SimpleNamespace(address=each, family=FAMILIES[ipaddress.ip_address(each).version]) for each in addresses
        ]
        monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"eth0": entries})
        monkeypatch.setattr(socket, "gethostname", lambda: called)
        monkeypatch.setattr(this_host, "_full_name", lambda: called)  # which remembers what it was first

    return has


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "muthur")


def issuers(store):
    return store.settings().issuers


@pytest.mark.parametrize(
    ("listening", "expected"),
    [("127.0.0.1", "127.0.0.1:9"), ("::1", "[::1]:9"), ("192.168.7.1", "192.168.7.1:9")],
)
def test_tokens_name_the_address_that_is_listened_on(store, host, listening, expected):
    host("10.0.0.5")
    init(store)
    assert token_endpoints(store, listening, 9) == (expected,)


def test_tokens_name_addresses_and_names_of_an_issuer_on_all_of_them(store, host):
    host("10.0.0.5", "fd00::5")
    init(store, names=parse_names(["192.168.7.1"]))  # of the router, which hands connections on
    assert token_endpoints(store, "0.0.0.0", 9) == ("192.168.7.1:9", "10.0.0.5:9", "muthur.local:9")
    store.save_settings(addresses=[])
    assert token_endpoints(store, "::", 9) == ("10.0.0.5:9", "[fd00::5]:9", "muthur.local:9")
    assert token_endpoints(store, "0.0.0.0", 9) == ("10.0.0.5:9", "muthur.local:9")


def test_a_host_that_has_moved_is_certified_and_found_at_its_new_address_only(store, host):
    host("10.0.0.5")
    init(store)
    host("10.0.0.77", called="nostromo")
    assert token_endpoints(store, "0.0.0.0", 9) == ("127.0.0.1:9",)  # nothing of the certificate leads here
    certify_names(store)
    assert token_endpoints(store, "0.0.0.0", 9) == ("10.0.0.77:9", "nostromo.local:9")
    before = store.identity().certificate
    certify_names(store)
    assert store.identity().certificate == before


def test_a_name_that_was_refused_is_not_asked_for_with_every_token(store, host):
    host("10.0.0.5")
    init(store)
    store.save_settings(hostnames=["bank.example"])
    certify_names(store)
    before = store.identity().certificate
    certify_names(store)
    assert store.identity().certificate == before


def test_members_are_told_of_places_that_lead_here_now(store, host):
    host("10.0.0.5")
    init(store, names=parse_names(["vpn.example.org"]))
    assert "https://10.0.0.5:8767" in issuers(store)
    store.save_settings(issuers=["https://vpn.example.org:443", *issuers(store)])
    host("10.0.0.77")
    with served(store, host="0.0.0.0") as running:
        port = running.serving.port
        assert "10.0.0.77" in store.identity().certificate.names
        assert set(issuers(store)) == {
            *(f"https://{each}:{port}" for each in ("10.0.0.77", "vpn.example.org", "muthur.local")),
            *("https://vpn.example.org:443", "https://vpn.example.org:8767", "https://muthur.local:8767"),
        }


def test_members_are_told_when_the_host_moves_while_the_issuer_runs(store, host):
    host("10.0.0.5")
    init(store)
    with served(store, host="0.0.0.0") as running:
        port = running.serving.port
        assert f"https://10.0.0.5:{port}" in issuers(store)
        host("10.0.0.77")
        certify_names(store)
        assert f"https://10.0.0.77:{port}" in issuers(store)
        assert not [each for each in issuers(store) if "10.0.0.5" in each]


def test_members_are_not_told_of_an_issuer_that_has_ended(store, host):
    host("10.0.0.5")
    init(store)
    by_init, mine = issuers(store), "https://muthur.local:443"  # where a person has something pass it on
    store.save_settings(issuers=[*by_init, mine])
    with served(store, host="0.0.0.0") as tried_out:
        assert issuers(store)[0] == f"https://10.0.0.5:{tried_out.serving.port}"
    with served(store, host="0.0.0.0") as running:
        assert urls_at(store, running.serving.port)
        assert not urls_at(store, tried_out.serving.port)
        with served(store, host="0.0.0.0") as second:
            assert urls_at(store, second.serving.port) and urls_at(store, running.serving.port)
        assert not urls_at(store, second.serving.port) and urls_at(store, running.serving.port)
    tell_members(store, "0.0.0.0", 8767)
    assert issuers(store) == (*by_init, mine)


def urls_at(store, port):
    return [each for each in issuers(store) if each.endswith(f":{port}")]


def test_who_keeps_the_list_in_order_finds_it_in_the_same_order(store, host):
    host("10.0.0.5")
    init(store)
    mine = [*reversed(issuers(store))]
    store.save_settings(issuers=mine)
    tell_members(store, "0.0.0.0", 8767)
    assert list(issuers(store)) == mine


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("10.0.0.5", "fd00::5"), "0.0.0.0"),
        (("fd00::5", "fe80::5"), "::"),
        (("8.8.8.8", "fd00::5"), "::"),  # a public address, which the authority may not vouch for
        ((), "0.0.0.0"),
    ],
)
def test_a_host_without_ipv4_listens_on_ipv6(store, host, addresses, expected):
    host(*addresses)
    init(store)
    assert every_address(store) == expected


def test_a_host_without_ipv4_serves_where_its_tokens_lead_to(store, host):
    host("fd00::5")
    init(store)
    with served(store, host=None) as running:
        assert running.serving.host == "::"
        port = running.serving.port
        assert token_endpoints(store, "::", port) == (f"[fd00::5]:{port}", f"muthur.local:{port}")
        assert f"https://[fd00::5]:{port}" in issuers(store)
        with socket.create_connection(("::1", port), timeout=30):
            pass


def test_an_issuer_serves_although_members_cannot_be_told(store, host, caplog):
    """`config.yaml` may be written in a way that no program should edit."""
    host("10.0.0.5")
    init(store)
    host("10.0.0.77")
    (store.directory / "config.yaml").write_text("{enabled: true}\n")
    with caplog.at_level(logging.WARNING), served(store, host="0.0.0.0") as running:
        assert running.serving.port
    told = [each.getMessage() for each in caplog.records if "members are not told" in each.getMessage()]
    assert len(told) == 1 and "config.yaml" in told[0]
    assert not [each for each in caplog.records if each.exc_info]
