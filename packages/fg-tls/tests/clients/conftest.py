import contextlib
import socket

import pytest

from fg_tls import Store
from fg_tls.endpoints import Endpoint, announced
from fg_tls.pki.authority import Authority
from fg_tls.pki.contexts import server_context
from fg_tls.pki.names import private_constraints

from .recorder import TOKEN, Recorder, identity_of, now


@pytest.fixture(scope="session")
def authority():
    return Authority.create("test", private_constraints(), now=now())


@pytest.fixture
def host(tmp_path, authority):
    """Makes hosts of the cluster: a store with an identity of its own."""

    def make(name, **options):
        store = Store(tmp_path / name)
        options = {"authority": authority} | options
        store.save_identity(identity_of(**options))
        store.save_authorities((options["authority"].certificate,))
        return store

    return make


@pytest.fixture
def record():
    """Starts recorders, on 127.0.0.1 unless told otherwise."""
    with contextlib.ExitStack() as stack:

        def start(source=None, *, at="127.0.0.1", family=socket.AF_INET, **options):
            listener = stack.enter_context(socket.create_server((at, 0), family=family))
            return Recorder(listener, server_context(source) if source else None, **options)

        yield start


@pytest.fixture
def announce(tmp_path):
    """Writes records for servers in this process, whose token is TOKEN."""
    token_file = tmp_path / "token"
    token_file.touch(0o600)
    token_file.write_text(TOKEN + "\n")
    with contextlib.ExitStack() as stack:

        def write(port, **changes):
            fields = {"service": "test", "host": "127.0.0.1", "port": port, "tls": False, "token_file": token_file}
            return stack.enter_context(announced(Endpoint(**fields | changes)))

        yield write
