"""Certificates and authorities that are replaced under load cost no request; FORGATHER_RENEWALS=600 is the long run."""

import os
import threading

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from fg_tls import AccessTable, TlsError, certificate
from fg_tls.clients.connections import connect
from fg_tls.clock import SYSTEM
from fg_tls.issuing.rotation import rotate
from fg_tls.membership.renewal import renew
from fg_tls.pki.names import Names

from .household import LONGEST_WAIT, Household, serving

RENEWALS = int(os.environ.get("FORGATHER_RENEWALS", "60"))
PING = AccessTable({("GET", "/ping"): certificate("member")})


async def ping(request):
    return JSONResponse({})


class Hammer:
    """Asks again and again until it is stopped: over one connection, or over a new one for each request."""

    def __init__(self, url, store, *, keep_alive):
        self.url, self.store, self.keep_alive = url, store, keep_alive
        self.answered, self.failed = 0, []
        self.stopped = threading.Event()
        self.warm = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopped.is_set():
            # The server is on this machine, but plays another host: no token of ours is for it.
            with connect(self.url, store=self.store, service="none-of-these", timeout=LONGEST_WAIT) as client:
                self.ask(client)
                while self.keep_alive and not self.stopped.is_set():
                    self.ask(client)

    def ask(self, client):
        try:
            status = client.get("/ping").status_code
        except (TlsError, httpx.HTTPError, OSError) as error:
            self.failed.append(repr(error))
        else:
            self.answered += 1
            if status != 200:
                self.failed.append(status)
        self.warm.set()

    def __enter__(self):
        self.thread.start()
        assert self.warm.wait(LONGEST_WAIT)
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join(LONGEST_WAIT)
        assert not self.thread.is_alive()


@pytest.mark.timeout(max(120, RENEWALS))
def test_no_request_fails_while_certificates_and_the_authority_are_replaced(tmp_path):
    household = Household(tmp_path, SYSTEM)
    old = household.store.authority().certificate
    with household.issuing():
        stores = [household.member("server"), household.member("client")]
        app = Starlette(routes=[Route("/ping", ping)])
        with (
            serving(app, store=stores[0], access=PING) as running,
            Hammer(running.url, stores[1], keep_alive=True) as kept,
            Hammer(running.url, stores[1], keep_alive=False) as new,
        ):
            renewed = renewed_again_and_again(household, stores, kept, new)
    assert (kept.failed, new.failed) == ([], [])
    assert len(renewed) == RENEWALS
    assert min(kept.answered, new.answered) > RENEWALS
    assert old not in stores[1].cluster_authorities()
    assert {each.cluster_authorities() for each in stores} == {(household.store.authority().certificate,)}


def renewed_again_and_again(household, stores, *hammers):
    """The serials of all renewals; half way, the authority is replaced. Between two steps every client asks anew."""
    serials = set()
    for n in range(RENEWALS):
        if n == RENEWALS // 2:
            while not rotate(household.store).finished:
                household.follow(*stores)
        serials.add(renew(stores[n % 2], names=Names()).certificate.serial)
        asked_since(hammers)
    return serials


def asked_since(hammers):
    for each in hammers:
        each.warm.clear()
    for each in hammers:
        assert each.warm.wait(LONGEST_WAIT)
