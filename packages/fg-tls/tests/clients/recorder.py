"""A server that keeps what it is sent, and hosts of one cluster that ask it."""

import contextlib
import re
import threading
import uuid
from datetime import UTC, datetime

from fg_tls.clients.connections import connect
from fg_tls.host.store import Identity
from fg_tls.pki.certificates import Member
from fg_tls.pki.keys import new_key
from fg_tls.pki.names import parse_names

WAIT = 30
HERE = parse_names(["localhost", "127.0.0.1", "::1"])
TOKEN = "0123456789abcdef" * 4


def now():
    return datetime.now(UTC)


def identity_of(authority, *, names=HERE, at=None, member=None):
    key = new_key()
    member = member or Member(cluster=authority.cluster, role="member", id=str(uuid.uuid4()))
    certificate = authority.issue(key.public_key(), member=member, names=names, now=at or now())
    return Identity(key=key, chain=(certificate,))


class Recorder:
    """A server of one connection after the other that keeps what it was sent, and answers `answer`."""

    def __init__(self, listener, context=None, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"):
        self.listener = listener
        self.context = context
        self.answer = answer
        self.requests = []
        self.connections = 0
        self.ended = threading.Semaphore(0)  # once for each connection that ended
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self):
        return self.listener.getsockname()[1]

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        self._talk(connection)
        self.ended.release()

    def _talk(self, connection):
        with contextlib.suppress(OSError), connection:
            connection.settimeout(WAIT)
            if self.context is not None:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection:
                request = b""
                while piece := connection.recv(65536):
                    request += piece
                    if request.endswith(b"\r\n\r\n"):
                        self.requests.append(request.decode())
                        request = b""
                        connection.sendall(self.answer)
                        if b"200" not in self.answer:
                            return


def tokens_seen(recorder):
    return [re.search(r"(?im)^authorization: Bearer (.*?)\r?$", each) for each in recorder.requests]


def seen(recorder):
    return [match[1] if match else None for match in tokens_seen(recorder)]


def ask(url, **options):
    with connect(url, **options) as client:
        return client.get("/").text
