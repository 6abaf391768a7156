"""Hosts of one cluster with TLS directories of their own, an issuer that really listens, and a clock that is set."""

import queue
import ssl
import threading
import uuid
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from fg_tls import TokenStore, serve
from fg_tls.errors import PeerError
from fg_tls.host.store import Identity, Store
from fg_tls.issuing.issuer import Issuer
from fg_tls.issuing.issuer_app import ISSUER_ACCESS, create_issuer_app
from fg_tls.listener.peers import Peers
from fg_tls.membership.keeper import Keeper
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Member, read_der
from fg_tls.pki.contexts import LiveContext, check_server, client_context, server_context
from fg_tls.pki.keys import new_key
from fg_tls.pki.names import parse_names, private_constraints

LONGEST_WAIT = 30
START = datetime(2026, 1, 1, tzinfo=UTC)


class SetClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now=START):
        self.now = now

    def __call__(self):
        return self.now

    def forward(self, **duration):
        self.now += timedelta(**duration)


def member_id(name):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


class Household:
    """An authority in `directory`, and members that know it."""

    def __init__(self, directory, clock):
        self.directory = directory
        self.clock = clock
        self.store = Store(directory / "authority")
        authority = Authority.create("household", private_constraints(), now=clock())
        self.store.save_authority(authority)
        self.store.save_authorities((authority.certificate,))
        self.issuer = Issuer(self.store, clock)
        self.port = 0
        self._enrol(self.store, "authority", "member")

    def member(self, name, role="member"):
        """The store of a new host, which is called NAME.lan."""
        store = Store(self.directory / name)
        store.save_authorities(self.store.cluster_authorities())
        self._enrol(store, name, role)
        store.save_settings(issuers=[f"https://127.0.0.1:{self.port}"])
        return store

    def _enrol(self, store, name, role):
        key = new_key()
        member = Member(cluster=self.store.authority().cluster, role=role, id=member_id(name))
        names = parse_names([f"{name}.lan", "localhost", "127.0.0.1"])
        certificate = self.issuer.sign(key.public_key(), member=member, names=names)
        self.issuer.books.record_issue(certificate, now=self.clock(), hostname=name)
        store.save_identity(Identity(key=key, chain=(certificate,)))

    @contextmanager
    def issuing(self):
        """Have the issuer listen; from the second time on, at the same port."""
        with serving(
            create_issuer_app(self.issuer), store=self.store, access=ISSUER_ACCESS, port=self.port, clock=self.clock
        ) as running:
            self.port = running.port
            self.store.save_settings(issuers=[f"https://127.0.0.1:{self.port}"])
            yield running

    def follow(self, *stores):
        """Let hosts catch up, as their keepers do: the second question reports what the first one brought."""
        for store in stores:
            keeper = Keeper(store, self.clock, poll=0)
            keeper.round()
            keeper.round()


class Host:
    """The two ends of TLS at one host, as long as its programs run."""

    def __init__(self, store, clock):
        self.store = store
        self.clock = clock
        self.server = server_context(store, clock=clock)
        self.peers = Peers(store, clock=clock)
        self.client = LiveContext(store, lambda material: client_context(material, clock=clock))


def talk(client, server):
    """Why `client` cannot talk to `server`, by a real handshake and the checks of both ends; None if it can."""
    one, other = (ssl.MemoryBIO(), ssl.MemoryBIO()), (ssl.MemoryBIO(), ssl.MemoryBIO())
    asks = client.client.current().wrap_bio(one[0], one[1], server_hostname="localhost")
    answers = server.server.wrap_bio(other[0], other[1], server_side=True)
    try:
        for _ in range(3):
            _step(asks)
            other[0].write(one[1].read())
            _step(answers)
            one[0].write(other[1].read())
        check_server(read_der(asks.getpeercert(True)), client.client.material, client.clock())
    except (ssl.SSLError, PeerError) as error:
        return str(error)
    return None if server.peers.peer(answers.getpeercert(True)) else "refused by the guard"


def _step(side):
    with suppress(ssl.SSLWantReadError):
        side.do_handshake()


@contextmanager
def serving(app, *, store, access, port=0, **options):
    """Serve `app` in a thread, with the certificate of `store`."""
    started = queue.Queue()
    arguments = {"service": "test", "port": port, "access": access, "tokens": TokenStore(), "tls": store} | options
    thread = threading.Thread(target=serve, args=(app,), kwargs=arguments | {"ready": started.put})
    thread.start()
    running = started.get(timeout=LONGEST_WAIT)
    try:
        yield running
    finally:
        running.stop()
        thread.join(LONGEST_WAIT)
        assert not thread.is_alive()
