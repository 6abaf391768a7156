"""Where others find the issuer of this host: under names that its certificate has, and that lead here now.

Addresses come and go (a router hands out others, a laptop moves), and certificates hold for a month. What a certificate
names besides is somebody else's today, or nobody's.
"""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import urlsplit

from fg_tls.clock import SYSTEM, Clock
from fg_tls.endpoints import Endpoint, endpoints
from fg_tls.errors import AddressError, StoreError, TlsError
from fg_tls.host.store import Store
from fg_tls.host.this_host import names_of_this_host
from fg_tls.listener.binding import listening_address
from fg_tls.membership.renewal import missing_names, renew
from fg_tls.pki.names import Names, as_address

logger = logging.getLogger(__name__)

SERVICE: Final = "issuer"
_MOST_ENDPOINTS: Final = 3  # each makes a token 25 characters longer


def running_issuer() -> Endpoint | None:
    """The issuer that this user runs on this host, if any."""
    return next((each for each in endpoints(SERVICE) if each.tls), None)


def every_address(store: Store) -> str:
    """What to listen on for everybody: with IPv6 only where nothing else can be certified, as others may have none."""
    permitted = store.authority().constraints.permits(names_of_this_host() | store.settings().names)
    own = [each for each in permitted.addresses if not each.is_loopback]
    return "::" if own and all(each.version == 6 for each in own) else "0.0.0.0"


def certify_names(store: Store, clock: Clock = SYSTEM) -> None:
    """Have the certificate of the authority's host name what the host is called now.

    It stays as it is when that cannot be done: an issuer under old names is better than none.

    Raises:
        NotProvisionedError: the authority is elsewhere.
    """
    store.authority()
    certificate = store.identity().certificate
    refused = store.read_state().get("declined", [])  # asking once more would change nothing
    if missing := [each for each in missing_names(store, certificate) if each not in refused]:
        try:
            renew(store, clock)
            tell_of_running(store)
        except TlsError as error:
            logger.warning("the certificate of this host cannot be renewed for %s: %s", ", ".join(missing), error)


def token_endpoints(store: Store, host: str, port: int) -> tuple[str, ...]:
    """Where a joining host finds an issuer that listens on `host`, under names that its certificate has.

    Raises:
        AddressError: nobody can listen there.
    """
    bound = listening_address(host)
    if not 0 < port < 65536:
        raise AddressError(f"port {port} is not between 1 and 65535")
    if not bound.is_unspecified:
        return (_endpoint(str(bound), port),)
    names = _leading_here(store)
    # A socket for every address of IPv6 takes connections over IPv4 too, but not the other way round.
    usable = sorted((each for each in names.addresses if each.version <= bound.version), key=lambda each: each.version)
    addresses = [str(each) for each in usable if not each.is_loopback]
    hostnames = [each for each in names.hostnames if "." in each]
    reachable = [*addresses[: _MOST_ENDPOINTS - 1], *hostnames][:_MOST_ENDPOINTS]
    return tuple(_endpoint(each, port) for each in reachable or ["127.0.0.1"])


def tell_members(store: Store, host: str, port: int) -> None:
    """Put where this issuer listens first in config.yaml, from where every member is told where to renew.

    What leads here no longer is struck out, and so is what was put there for an issuer that has ended. Members keep
    what they know when that cannot be written.
    """
    try:
        known, names, earlier = store.settings().issuers, _leading_here(store), store.read_state().get("told", [])
        new = _urls(store, host, port)
        served = [url for each in endpoints(SERVICE) if each.tls for url in _urls(store, each.host, each.port)]
        ended = [each for each in earlier if each not in (*new, *served)]
        kept = [each for each in known if (urlsplit(each).hostname or "") in names and each not in ended]
        wanted = kept if all(each in kept for each in new) else list(dict.fromkeys((*new, *kept)))
        told = [each for each in wanted if each in earlier or each not in known]  # the others are of a person
        if told != earlier:
            store.write_state(told=told)
        if tuple(wanted) != known:
            store.save_settings(issuers=wanted)
    except StoreError as error:
        logger.warning("members are not told where this issuer listens: %s", error)


def _urls(store: Store, host: str, port: int) -> list[str]:
    return [f"https://{each}" for each in token_endpoints(store, host, port)]


def tell_of_running(store: Store) -> None:
    """The same for the issuer that runs on this host already, if one does: the host has another address now."""
    if running := running_issuer():
        tell_members(store, running.host, running.port)


def _leading_here(store: Store) -> Names:
    """The names of the certificate that this host has now, or that a person has given it."""
    certified, now = store.identity().certificate.names, names_of_this_host() | store.settings().names
    return Names(
        hostnames=tuple(each for each in certified.hostnames if each in now),
        addresses=tuple(each for each in certified.addresses if str(each) in now),
    )


def _endpoint(host: str, port: int) -> str:
    address = as_address(host)
    return f"[{host}]:{port}" if address is not None and address.version == 6 else f"{host}:{port}"
