"""A client that sends what a test tells it to, byte for byte, and never waits for ever."""

import socket

from .listeners import LONGEST_WAIT


class Client:
    """One connection; through TLS if there is a context."""

    def __init__(self, port, context=None, *, source="127.0.0.1", receive_buffer=None):
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(LONGEST_WAIT)
        raw.bind((source, 0))
        raw.connect(("127.0.0.1", port))
        self.socket = context.wrap_socket(raw, server_hostname="localhost") if context else raw

    def close(self):
        self.socket.close()

    def send(self, data):
        """Whether the server still took it."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def rest(self):
        """Everything that comes until the server hangs up."""
        answer = b""
        try:
            while piece := self.socket.recv(65536):
                answer += piece
        except TimeoutError:
            raise
        except OSError:
            pass
        return answer

    def get(self, path="/", *, headers=()):
        """The status and the body of one request."""
        lines = [f"GET {path} HTTP/1.1".encode(), b"Host: localhost", *headers, b"", b""]
        assert self.send(b"\r\n".join(lines))
        return self.answer()

    def answer(self):
        """The status and the body of one answer with a length."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.socket.recv(1)
            assert piece, f"the server hung up after {head!r}"
            head += piece
        lines = head.lower().split(b"\r\n")
        size = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
        body = b""
        while len(body) < size:
            body += self.socket.recv(size - len(body))
        return int(head.split()[1]), body
