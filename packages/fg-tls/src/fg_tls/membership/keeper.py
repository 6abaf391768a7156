"""What keeps the certificate of a host, its trust and its revocation list up to date while a server runs.

One thread in one process of each host does it; others follow the files. On the host of the authority it goes on with
a replacement that was begun, on every other host it asks an issuer, which answers as soon as there is something new.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fg_tls.clock import SYSTEM, Clock
from fg_tls.host.store import Store
from fg_tls.host.this_host import names_of_this_host
from fg_tls.membership.asking import HangUp
from fg_tls.membership.upkeep import HostNames, is_member, keeper_lock, look_after

logger = logging.getLogger(__name__)

_POLL: Final = 25  # seconds that an issuer may take to answer
_REST: Final = 2.0  # seconds between two rounds
_TAKE_OVER: Final = 15.0  # seconds between two looks whether the process that does the work has ended
_FIRST_RETRY: Final = 2.0
_LONGEST_RETRY: Final = 60.0


class Keeper:
    """Looks after one TLS directory. `round()` is what the thread does again and again."""

    def __init__(
        self, store: Store, clock: Clock = SYSTEM, *, poll: int = _POLL, names: HostNames = names_of_this_host
    ) -> None:
        self._store = store
        self._clock = clock
        self._poll = poll
        self._names = names
        self._version = ""  # of the bulletin that was carried out last
        self._stopped = threading.Event()
        self._hang_up = HangUp()
        self._lock = keeper_lock(store)
        self._thread = threading.Thread(target=self._run, name="fg-tls keeper", daemon=True)

    def start(self) -> None:
        """Begin; call it once."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is being written, and break off the wait for an issuer; does not wait for either."""
        self._stopped.set()
        self._hang_up()

    def round(self) -> None:
        """Do everything that is due, and wait for news from an issuer once.

        Raises:
            TlsError: something could not be done; what was there stays.
        """
        version = look_after(
            self._store,
            self._clock,
            since=self._version,
            wait=self._poll,
            hang_up=self._hang_up,
            names=self._names,
        )
        self._version = version or ""

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._lock.held(longest_wait=0):
                    self._work()
            except (OSError, ValueError):
                logger.debug("another process looks after the certificate of this host", exc_info=True)
            self._stopped.wait(_TAKE_OVER)

    def _work(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                self.round()
            except (OSError, ValueError) as error:  # TlsError is one; the thread must outlive whatever files hold
                failures += 1
                logger.debug("cannot look after the certificate of this host now: %s", error)
            else:
                failures = 0
            self._stopped.wait(_pause(failures))


@contextmanager
def keeping(store: Store, clock: Clock = SYSTEM) -> Iterator[None]:
    """Look after the certificate of this host for the block, if it has one of our cluster."""
    if not is_member(store):
        yield
        return
    keeper = Keeper(store, clock)
    keeper.start()
    try:
        yield
    finally:
        keeper.stop()


def _pause(failures: int) -> float:
    """Seconds; twice as long after each failure, and spread so that hosts do not come back all at once."""
    if not failures:
        return _REST
    return min(_FIRST_RETRY * 2 ** min(failures, 10), _LONGEST_RETRY) * random.uniform(0.8, 1.2)
