"""Somebody who stands where the issuer should be: a TLS server that answers as a test says, and notes what it got."""

import queue
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from .hosts import LONGEST_WAIT


class Impostor:
    """`answers` gives (status, body) by path; None in place of it hangs up without an answer."""

    def __init__(self, identity_file, answers):
        self.requests = queue.Queue()
        self.server = HTTPServer(("127.0.0.1", 0), self._handler(answers))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity_file)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        # Handshakes that clients break off are what the tests are about.
        self.server.handle_error = lambda *_: None

    @property
    def endpoint(self):
        return f"127.0.0.1:{self.server.server_address[1]}"

    @property
    def paths(self):
        """What was asked, and so what anybody has sent."""
        return [self.requests.get_nowait()[0] for _ in range(self.requests.qsize())]

    def _handler(self, answers):
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def _answer(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                requests.put((self.path, body))
                answer = answers[self.path]
                if callable(answer):
                    answer = answer(body)
                if answer is None:
                    return self.close_connection
                self.send_response(answer[0])
                self.send_header("Content-Length", str(len(answer[1])))
                self.end_headers()
                self.wfile.write(answer[1])

            do_GET = do_POST = _answer

            def log_message(self, *_):
                """Quiet."""

        return Handler


@contextmanager
def impostor(identity_file, answers):
    found = Impostor(identity_file, answers)
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        found.server.shutdown()
        thread.join(LONGEST_WAIT)
        found.server.server_close()
