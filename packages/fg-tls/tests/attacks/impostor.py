"""A server that is not who it says it is."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .target import LONGEST_WAIT, read_to_the_end


@contextmanager
def impostor(certificate: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Show `certificate` to one client; gives the port, and after the end what the client said to it."""
    heard: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LONGEST_WAIT)
        listening = threading.Thread(target=_listen, args=(listener, context, heard))
        listening.start()
        yield listener.getsockname()[1], heard
        listening.join(LONGEST_WAIT)


def _listen(listener: socket.socket, context: ssl.SSLContext, heard: list[bytes]) -> None:
    plain, _ = listener.accept()
    plain.settimeout(LONGEST_WAIT)
    said = b""
    with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
        said = read_to_the_end(connection)
    heard.append(said)
