"""What this host is called: its names and addresses, as others may ask for them."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Final

import psutil

from fg_tls.errors import HostNameError
from fg_tls.pki.names import Address, Names, as_address, parse_names

_MOST_ADDRESSES: Final = 32
_BRIDGE: Final = re.compile(r"(docker|br-|veth|virbr|lxc|lxd|cni|flannel|podman)")
_LOOPBACK: Final = Names(
    hostnames=("localhost",), addresses=(ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))
)


def names_of_this_host(*, bridges: bool = True) -> Names:
    """Its names, then its addresses, those of network cards before those of container bridges; then loopback."""
    hostname = socket.gethostname().lower()
    own = (hostname, _full_name(), f"{hostname.split('.')[0]}.local")
    hostnames = tuple(dict.fromkeys(name for each in own for name in _usable(each)))
    most = _MOST_ADDRESSES - len(_LOOPBACK.addresses)
    return Names(hostnames=hostnames, addresses=tuple(islice(_addresses(bridges=bridges), most))) | _LOOPBACK


@cache
def _full_name() -> str:
    return socket.getfqdn().lower()  # may ask a name server, which may be far away


def _usable(name: str) -> tuple[str, ...]:
    # Without a name of its own a host is told "localhost", or the name of its address turned round.
    if name.startswith("localhost") or name.endswith(("in-addr.arpa", "ip6.arpa")):
        return ()
    try:
        return parse_names([name]).hostnames
    except HostNameError:
        return ()


def _addresses(*, bridges: bool) -> Iterator[Address]:
    cards = sorted(psutil.net_if_addrs().items(), key=lambda card: bool(_BRIDGE.match(card[0])))
    seen: set[Address] = set()
    for card, entries in cards:
        if _BRIDGE.match(card) and not bridges:
            continue
        found = {as_address(entry.address) for entry in entries if entry.family in (socket.AF_INET, socket.AF_INET6)}
        new = sorted((each for each in found if each is not None and _lasting(each)), key=lambda each: each.version)
        yield from (each for each in new if each not in seen)
        seen.update(new)


def _lasting(address: Address) -> bool:
    """Whether others can write it down: a link-local IPv6 address means nothing without the card of whoever asks."""
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return False
    return not (address.version == 6 and address.is_link_local)
