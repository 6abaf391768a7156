"""A served application that is attacked, with ways to reach it byte for byte and a record of what got through."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from websockets.sync.client import connect as connect_websocket

from fg_tls import Store
from fg_tls.pki.authority import Authority

LONGEST_WAIT = 20
FULL_TOKEN = "f0" * 32
READ_TOKEN = "e1" * 32
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@dataclass(kw_only=True)
class Target:
    """The server process; `store` is None where it serves in clear text."""

    directory: Path
    process: psutil.Process
    port: int
    store: Store | None
    authority: Authority | None = None
    source: str = "127.0.0.1"  # the address that attacks come from
    legitimate: int = field(default=0)  # requests of ours that the application must have seen

    # --- reaching it -------------------------------------------------------------------------------------------------

    @property
    def scheme(self) -> str:
        return "https" if self.store else "http"

    def raw(self) -> socket.socket:
        """A TCP connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=LONGEST_WAIT, source_address=(self.source, 0))

    def connect(self, certificate: Path | None = None, server_name: str | None = "localhost") -> socket.socket:
        """A connection that HTTP can be spoken on."""
        if self.store is None:
            return self.raw()
        context = self.context(certificate)
        context.check_hostname = server_name == "localhost"
        return context.wrap_socket(self.raw(), server_hostname=server_name)

    def context(self, certificate: Path | None = None) -> ssl.SSLContext:
        """A client's context that trusts the server's authority."""
        assert self.authority is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.authority.certificate.pem.decode())
        if certificate:
            context.load_cert_chain(certificate)
        return context

    def send(self, data: bytes, certificate: Path | None = None, server_name: str | None = "localhost") -> bytes:
        """Everything that comes back for `data` until the server hangs up."""
        with self.connect(certificate, server_name) as connection:
            with suppress(OSError):  # it may hang up in the middle; what it said is still there to read
                connection.sendall(data)
            return read_to_the_end(connection)

    def statuses(self, data: bytes, **options) -> tuple[int, ...]:
        """The status of every answer to `data`."""
        return tuple(int(each) for each in _STATUS.findall(self.send(data, **options)))

    # --- what it did -------------------------------------------------------------------------------------------------

    def entries(self) -> list[str]:
        """What has reached the application, in order."""
        return (self.directory / "entries").read_text().splitlines()

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def expects(self, *entries: str) -> None:
        """Check that exactly these are the last to have reached the application; they are no attacks."""
        self.legitimate += len(entries)
        assert self.entries()[-len(entries) :] == list(entries)

    def serves_its_users(self, certificate: Path | None) -> None:
        """Check that a token, a certificate, an upload and a WebSocket are served as ever."""
        bearer = b"Authorization: Bearer " + FULL_TOKEN.encode()
        users = [request("GET /items", bearer), request("POST /upload", bearer, body=b"12345"), request("GET /health")]
        assert [self.statuses(each) for each in users] == [(200,)] * 3
        self.legitimate += 4
        if certificate:
            assert self.statuses(request("GET /peers"), certificate=certificate) == (200,)
            self.legitimate += 1
        with connect_websocket(
            f"{self.scheme.replace('http', 'ws')}://localhost:{self.port}/events",
            sock=self.raw(),
            ssl=self.context() if self.store else None,
            additional_headers={"Authorization": f"Bearer {READ_TOKEN}"},
            proxy=None,
        ) as events:
            events.send("hello")
            assert events.recv(timeout=LONGEST_WAIT) == "hello"


def request(line: str, *headers: bytes, body: bytes = b"", host: bytes = b"Host: localhost") -> bytes:
    """One complete request that asks the server to hang up afterwards."""
    length = [b"Content-Length: %d" % len(body)] if body else []
    lines = [f"{line} HTTP/1.1".encode(), host, *headers, *length, b"Connection: close", b"", b""]
    return b"\r\n".join(lines) + body


def read_to_the_end(connection: socket.socket) -> bytes:
    """What the server says until it hangs up, politely or not; a server that does neither fails the test."""
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except TimeoutError:
        raise
    except OSError:
        pass
    return answer


@contextmanager
def attacked(
    directory: Path, *options: str, host: str, store: Store | None, authority: Authority | None
) -> Iterator[Target]:
    """Run a server, and check at its end that only legitimate requests got through and that it ends in order."""
    (directory / "tokens").touch(mode=0o600)
    (directory / "tokens").write_text(f"{FULL_TOKEN}\n{READ_TOKEN} read\n")
    environment = os.environ | {
        "FORGATHER_CONFIG_DIR": str(directory / "config"),
        "FORGATHER_TLS_DIR": str(store.directory if store else directory / "absent"),
    }
    command = [sys.executable, str(Path(__file__).with_name("served_app.py")), str(directory), host, *options]
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
    try:
        port = _port(directory, server)
        target = Target(
            directory=directory, process=psutil.Process(server.pid), port=port, store=store, authority=authority
        )
        yield target
        server.send_signal(signal.SIGTERM)
        assert server.wait(LONGEST_WAIT) == 0, target.log()
        assert len(target.entries()) == target.legitimate
    finally:
        server.kill()
        server.wait()


def _port(directory: Path, server: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + LONGEST_WAIT
    while not (directory / "port").exists():
        assert server.poll() is None, (directory / "log").read_text()
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.02)
    return json.loads((directory / "port").read_text())
