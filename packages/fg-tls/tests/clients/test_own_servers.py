"""Servers of this user on this machine: their token is found, and nobody else gets it."""

import dataclasses
import os
import socket
import subprocess
import sys

import pytest

from fg_tls import PeerError
from fg_tls.clients.connections import connect

from .recorder import TOKEN, WAIT, Recorder, ask, identity_of, seen


def test_the_token_of_a_server_here_is_found(record, announce):
    server = record()
    announce(server.port)
    assert ask(f"http://127.0.0.1:{server.port}") == ask(f"http://localhost:{server.port}") == "ok"
    assert ask(f"http://127.0.0.1:{server.port}", service="test") == "ok"
    assert ask(f"http://127.0.0.1:{server.port}", service="another") == "ok"
    assert seen(server) == [TOKEN, TOKEN, TOKEN, None]


def test_a_server_on_every_address_is_found_by_loopback(record, announce):
    server = record(at="0.0.0.0")
    announce(server.port, host="0.0.0.0")
    ask(f"http://127.0.0.1:{server.port}")
    ask(f"http://127.0.0.2:{server.port}")
    assert seen(server) == [TOKEN, None]


def test_localhost_is_the_address_of_the_server_and_not_what_somebody_else_took(announce, record):
    """`localhost` is often ::1 first, where any user may listen when the server has 127.0.0.1 only."""
    server = record()
    announce(server.port)
    try:
        squatter = socket.create_server(("::1", server.port), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with squatter:
        recorder = Recorder(squatter)
        assert ask(f"http://localhost:{server.port}") == "ok"
        assert ask(f"http://[::1]:{server.port}") == "ok"
        assert (seen(server), seen(recorder)) == ([TOKEN], [None])


def test_whoever_takes_the_port_of_a_dead_server_gets_no_token(record, announce):
    squatter = record()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(WAIT)
    live = announce(squatter.port)
    live.path.unlink()
    announce(squatter.port, process=dataclasses.replace(live.process, pid=ended.pid))
    assert ask(f"http://127.0.0.1:{squatter.port}") == "ok"
    assert seen(squatter) == [None]


def test_whoever_takes_the_port_of_a_server_that_has_stopped_listening_gets_no_token(announce):
    """The process lives on, but the port is that of another one."""
    script = (
        "import socket, sys\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "print(listener.getsockname()[1], flush=True)\n"
        "connection, _ = listener.accept()\n"
        "request = connection.recv(65536)\n"
        "connection.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok')\n"
        "print(b'uthorization' in request, flush=True)\n"
    )
    squatter = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        port = int(squatter.stdout.readline())
        announce(port)
        assert ask(f"http://127.0.0.1:{port}") == "ok"
        assert squatter.communicate(timeout=WAIT)[0] == "False\n"
    finally:
        squatter.kill()


def test_a_record_of_tls_is_none_of_clear_text(record, announce):
    server = record()
    announce(server.port, tls=True)
    assert ask(f"http://127.0.0.1:{server.port}") == "ok"
    assert seen(server) == [None]


def test_a_token_file_that_others_can_read_is_not_used(record, announce):
    server = record()
    announce(server.port).token_file.chmod(0o644)
    assert ask(f"http://127.0.0.1:{server.port}") == "ok"
    assert seen(server) == [None]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_the_token_file_of_somebody_else_is_not_used(record, announce):
    server = record()
    os.chown(announce(server.port).token_file, 12345, -1)
    assert ask(f"http://127.0.0.1:{server.port}") == "ok"
    assert seen(server) == [None]


def test_over_tls_the_server_must_show_the_certificate_of_this_host(record, announce, host):
    """Every member of the cluster may show one for 127.0.0.1: only ours gets the token that was found."""
    ours, theirs = host("ours"), host("theirs")
    server, squatter = record(ours), record(theirs)
    announce(server.port, tls=True)
    announce(squatter.port, tls=True)
    assert ask(f"https://127.0.0.1:{server.port}", store=ours) == "ok"
    with pytest.raises(PeerError, match="does not show the certificate of this host"):
        ask(f"https://127.0.0.1:{squatter.port}", store=ours)
    assert (seen(server), squatter.requests) == ([TOKEN], [])
    assert ask(f"https://127.0.0.1:{squatter.port}", store=ours, token="given" * 10) == "ok"


def test_a_server_that_has_renewed_is_still_this_host(record, announce, host, authority):
    store = host("a")
    server = record(store)
    announce(server.port, tls=True)
    with connect(f"https://127.0.0.1:{server.port}", store=store) as client:
        store.save_identity(identity_of(authority, member=store.identity().certificate.member))
        assert client.get("/").text == "ok"
    assert seen(server) == [TOKEN]


def test_the_url_that_a_server_names_is_enough(record, announce, host):
    store = host("a")
    server = record(store)
    announce(server.port, tls=True, host="0.0.0.0", urls=(f"https://localhost:{server.port}",))
    assert ask(f"https://localhost:{server.port}", store=store) == "ok"
    assert seen(server) == [TOKEN]
