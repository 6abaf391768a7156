"""The options that servers share, up to the certificate that a client sees."""

import argparse
import socket
import ssl
import threading

import pytest

from fg_tls import AddressError, CertificateError, NotProvisionedError, Store, bind
from fg_tls.host.provisioning import init, set_enabled
from fg_tls.listener.options import ServerOptions, add_options
from fg_tls.pki.contexts import server_context
from fg_tls.pki.names import parse_names

WAIT = 30
NAMES = parse_names(["localhost", "127.0.0.1"])


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGATHER_TLS_DIR", str(tmp_path / "tls"))
    return Store()


def options(*words):
    parser = argparse.ArgumentParser()
    add_options(parser)
    return ServerOptions.of(parser.parse_args(words))


def presented(context):
    """The certificate that a listener with `context` shows."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    here, there = socket.socketpair()
    here.settimeout(WAIT)
    there.settimeout(WAIT)
    with here, there:
        server = threading.Thread(target=lambda: context.wrap_socket(there, server_side=True).close())
        server.start()
        with client.wrap_socket(here) as connection:
            shown = connection.getpeercert(True)
        server.join(WAIT)
        return shown


def test_without_a_certificate_there_is_no_tls_unless_it_is_asked_for(store):
    assert options().source() == options("--no-tls").source() == "off"
    with pytest.raises(NotProvisionedError, match=r"--tls needs a certificate, and .*tls has none; run `forgather tls"):
        options("--tls").source()


def test_the_certificate_of_this_host_is_used_when_there_is_one(store):
    own = init(store, names=NAMES).certificate.der
    for given in (options(), options("--tls"), options("--insecure")):
        assert presented(server_context(given.source())) == own
    assert options("--no-tls").source() == "off"
    set_enabled(store, False)
    assert options().source() == "off"
    assert presented(server_context(options("--tls").source())) == own


def test_a_certificate_from_elsewhere_is_followed(store, tmp_path):
    init(store, names=NAMES)
    brought = tmp_path / "brought.pem"
    brought.touch(0o600)
    elsewhere = [Store(tmp_path / name) for name in ("first", "second")]
    first, second = (init(each, names=NAMES) for each in elsewhere)
    brought.write_bytes(first.pem())
    source = options("--tls-cert", str(brought)).source()
    context = server_context(source)
    assert presented(context) == first.certificate.der
    assert source.material().authorities == store.authorities()
    brought.write_bytes(second.pem())
    assert presented(context) == second.certificate.der
    brought.write_text("nothing")
    assert presented(context) == second.certificate.der


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tls-key", "k"), "--tls-key goes with --tls-cert"),
        (("--no-tls", "--tls-cert", "c"), "--no-tls and --tls-cert contradict each other"),
        (("--tls-cert", "/none"), "/none cannot be read"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(store, words, message):
    with pytest.raises(CertificateError, match=message):
        options(*words).source()


def test_clear_text_beyond_loopback_is_refused_before_anything_is_prepared(store):
    with bind("0.0.0.0", 0) as listener:
        with pytest.raises(AddressError, match="in clear text"):
            options().check(listener, options().source())
        options("--insecure").check(listener, "off")
        init(store, names=NAMES)
        options().check(listener, options().source())
    with bind("127.0.0.1", 0) as listener:
        options().check(listener, "off")
