"""Listeners of uvicorn itself with the protocols of fg_tls, and material of authorities that tests make up."""

import queue
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import uvicorn

from fg_tls.clock import SYSTEM
from fg_tls.listener.protocol import protocol_options
from fg_tls.pki import keys
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Member
from fg_tls.pki.contexts import Material
from fg_tls.pki.names import Names, as_address, private_constraints

LONGEST_WAIT = 30
LOCAL = Names(hostnames=("localhost",), addresses=(as_address("127.0.0.1"),))


def new_authority(name="home", **options):
    return Authority.create(name, private_constraints(), now=SYSTEM(), **options)


def identity_file(path, authority, *, names=LOCAL, role="member", now=None, **options):
    """A key and a certificate of it in one file."""
    key = keys.new_key()
    member = Member(cluster=authority.cluster, role=role, id="0123abcd")
    leaf = authority.issue(key.public_key(), member=member, names=names, now=now or SYSTEM(), **options)
    path.write_bytes(keys.key_pem(key) + leaf.pem)
    return path


def material(path, authority, *trusted, **options):
    """What a host shows and trusts; `trusted` are authorities besides its own."""
    certificates = tuple(each.certificate for each in (authority, *trusted))
    return Material(certificate_file=identity_file(path, authority, **options), authorities=certificates)


@dataclass
class Held:
    """A source whose material a test changes."""

    now: Material
    number: int = field(default=0)

    def stamp(self):
        return self.number

    def material(self):
        return self.now

    def change(self, **fields):
        self.now = replace(self.now, **fields)
        self.number += 1


class Listener(uvicorn.Server):
    """Says where it listens."""

    def __init__(self, app, **options):
        quiet = {"log_config": None, "lifespan": "off", "port": 0, "timeout_graceful_shutdown": 1}
        super().__init__(uvicorn.Config(app, **quiet, **options))
        self.ports = queue.Queue()

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.ports.put(self.servers[0].sockets[0].getsockname()[1])


@contextmanager
def listening(app, *, http, ws, context=None, **options):
    """Serve `app` with two protocols of uvicorn; gives the port."""
    listener = Listener(app, **protocol_options(http, ws, context=context, **options))
    thread = threading.Thread(target=listener.run)
    thread.start()
    try:
        yield listener.ports.get(timeout=LONGEST_WAIT)
    finally:
        listener.should_exit = True
        thread.join(LONGEST_WAIT)
        assert not thread.is_alive()


def handshake(server, client, *, name="localhost"):
    """The client's and the server's connection after a handshake in memory; raises what either raises."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=name)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [one, other]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
        if not waiting:
            return one, other
    raise AssertionError("no end of the handshake")
