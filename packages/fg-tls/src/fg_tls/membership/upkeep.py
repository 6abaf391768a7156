"""What keeps a host in its cluster: a certificate that holds, and what its issuer says of trust and revocations.

A `keeper` sees to it for as long as a server runs. Hosts that only run clients have none: their connections call
`keep_up`, which does the same when it is time, and leaves it to the keeper if there is one.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from fg_tls.clock import SYSTEM, Clock
from fg_tls.host.locks import FileLock
from fg_tls.host.store import Store
from fg_tls.host.this_host import names_of_this_host
from fg_tls.issuing import revoking, rotation
from fg_tls.issuing.books import Books
from fg_tls.issuing.bulletin import Bulletin
from fg_tls.issuing.whereabouts import tell_of_running
from fg_tls.membership.asking import HangUp, Line
from fg_tls.membership.moving import has_moved, moment
from fg_tls.membership.renewal import at_an_issuer, due, renew
from fg_tls.pki.names import Names

logger = logging.getLogger(__name__)


class HostNames(Protocol):
    """Tells what this host is called."""

    def __call__(self, *, bridges: bool = True) -> Names:
        """Its names and addresses, with those of container bridges or without."""
        ...


_LOOK_EVERY: Final = timedelta(minutes=1)
_LONGEST_PAUSE: Final = timedelta(minutes=16)  # between two looks, when nobody has answered the last ones
_PATIENCE: Final = 2.0  # seconds that a connection may be held up


def keeper_lock(store: Store) -> FileLock:
    """Held by whoever looks after the certificate of this host."""
    return FileLock(store.directory / ".keeper.lock")


def is_member(store: Store) -> bool:
    """Whether there is a certificate to look after, which this user can get at."""
    try:
        return store.identity_path.is_file()
    except OSError:
        return False


def look_after(
    store: Store,
    clock: Clock,
    *,
    since: str = "",
    wait: float = 0,
    hang_up: HangUp | None = None,
    names: HostNames = names_of_this_host,
) -> str | None:
    """Do everything that is due; gives the version of the issuer's bulletin that was carried out, if there is one.

    An issuer has `wait` seconds to answer with another bulletin than `since`. `hang_up` ends that. `names` tells what
    this host is called now.

    Raises:
        TlsError: something could not be done; what was there stays.
    """
    authority_here = store.authority_path.is_file()
    if authority_here:
        revoking.publish(store, Books(store), clock)
        rotation.proceed(store, clock)
    if _must_renew(store, clock(), names):
        renew(store, clock, names=names())
        if authority_here:
            tell_of_running(store)
    if authority_here or not store.settings().issuers:
        return None
    answer = _news(store, clock, since, wait, hang_up or HangUp())
    bulletin = Bulletin.from_json(answer)
    bulletin.take(store)
    if answer.get("renew_now") is True:
        renew(store, clock, names=names())
    return bulletin.version


def keep_up(store: Store, clock: Clock = SYSTEM) -> None:
    """Look after the certificate of this host if nobody has done so lately, for two seconds at most.

    It never raises: who cannot be helped is told by the server that it asks, or by `forgather tls status`. An issuer
    that does not answer in time is left alone for a while, and twice as long after each time.
    """
    try:
        if not is_member(store) or not (store.authority_path.is_file() or store.settings().issuers):
            return
        # Who comes while another one asks waits for what comes of it.
        with FileLock(store.directory / ".upkeep.lock").held(longest_wait=_PATIENCE):
            if _is_time(store, clock()):
                _ask_for_a_moment(store, clock)
    except (OSError, ValueError) as error:  # TlsError is one
        logger.debug("cannot look after the certificate of this host now: %s", error)


def _ask_for_a_moment(store: Store, clock: Clock) -> None:
    """In a thread, as nothing else bounds how long a name server may take; what it brings late counts too."""
    with keeper_lock(store).held(longest_wait=0):
        pass  # there is no keeper
    # Written down before: whatever becomes of this process, the next one does not wait for the same silence.
    store.write_state(asked=clock().isoformat(), unanswered=_unanswered(store) + 1)
    asking = threading.Thread(target=_ask, args=(store, clock), name="fg-tls upkeep", daemon=True)
    asking.start()
    asking.join(_PATIENCE)


def _ask(store: Store, clock: Clock) -> None:
    try:
        with keeper_lock(store).held(longest_wait=0):
            look_after(store, clock, since=Bulletin.of(store).version)
            store.write_state(unanswered=None)
    except (OSError, ValueError) as error:  # TlsError is one; the connection is made with what there is
        logger.debug("cannot look after the certificate of this host now: %s", error)


def _is_time(store: Store, now: datetime) -> bool:
    asked = moment(store.read_state().get("asked"))
    if asked is None:
        return True
    pause = min(_LOOK_EVERY * 2 ** min(_unanswered(store), 10), _LONGEST_PAUSE)
    return abs(now - asked) >= pause  # also when the clock was set back


def _unanswered(store: Store) -> int:
    """How often in a row nobody has answered."""
    found = store.read_state().get("unanswered", 0)
    return found if isinstance(found, int) else 0


def _must_renew(store: Store, now: datetime, names: HostNames) -> bool:
    identity = store.identity()
    certificate = identity.certificate
    # The clock of the authority's host was ahead when this certificate was made, and was set right since.
    too_early = store.authority_path.is_file() and now < certificate.not_before
    signing = next(iter(store.cluster_authorities()), None)
    # A host that was left behind has caught up with an authority that does not know its certificate any more.
    left_behind = signing is not None and not certificate.issued_by(signing)
    return too_early or left_behind or due(identity, now) or has_moved(store, certificate, names(bridges=False), now)


def _news(store: Store, clock: Clock, since: str, wait: float, hang_up: HangUp) -> dict[str, Any]:
    """What an issuer says; with the question it hears what was taken over before."""

    def question(line: Line) -> dict[str, Any]:
        return line.ask(f"/v1/state?{urlencode({'since': since, 'wait': wait})}", timeout=wait + 10)

    return at_an_issuer(store, clock, question, hang_up)
