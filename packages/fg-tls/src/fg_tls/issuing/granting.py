"""Which names an authority puts into a certificate: what a host asks for is a wish.

A new host must not become an old one, so a host name that another live member holds is refused. Addresses are only left
out: every host with a container runtime asks for the same bridge address, and nobody reaches it there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from fg_tls.errors import JoinError
from fg_tls.issuing.book_entries import MemberEntry
from fg_tls.pki.certificates import Role
from fg_tls.pki.names import Address, Constraints, Names, as_address

LOOPBACK: Final = Names(
    hostnames=("localhost",),
    addresses=(ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")),
)
_NONE: Final = Names()


def grant(
    wanted: Names,
    *,
    role: Role,
    others: Iterable[MemberEntry],
    constraints: Constraints,
    bound: Names = _NONE,
    came_from: Address | None = None,
) -> Names:
    """The names for a host: those of loopback, and of its wishes those that are within `constraints` and free.

    `bound` are names that a person has set for this host; they stand in for its wishes. `others` are the live members
    besides it. `came_from` is the address it calls from, which it has thereby shown to be its own. A submitter asks and
    does not serve, so it gets no names of the network unless they are set for it.

    Raises:
        JoinError: another live member holds one of the host names.
    """
    if role == "submitter":
        wanted, came_from = _NONE, None
    hostnames = bound.hostnames or wanted.hostnames
    addresses = bound.addresses or tuple(map(plain, wanted.addresses))
    permitted = constraints.permits(Names(hostnames=hostnames, addresses=addresses))
    holders = {name: each for each in others for name in [*each.names.hostnames, *each.names.addresses]}
    for name in permitted.hostnames:
        if name in holders and name not in LOOPBACK.hostnames:
            raise JoinError(_taken(name, holders[name]))
    free = tuple(each for each in permitted.addresses if each not in holders)
    origin = constraints.permits(Names(addresses=(plain(came_from),) if came_from else ()))
    return LOOPBACK | Names(hostnames=permitted.hostnames, addresses=free) | origin


def _taken(name: str, holder: MemberEntry) -> str:
    return (
        f"the name {name} belongs to member {holder.id}, which joined on {holder.joined:%Y-%m-%d}; choose another name "
        f"for this host, or if this is that host, end the old membership with `forgather tls revoke {holder.id}` on "
        "the host of the authority"
    )


def plain(address: Address) -> Address:
    """`address` without the zone of a link, and as IPv4 where a socket for both versions has wrapped it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return address.ipv4_mapped or as_address(str(address).partition("%")[0]) or address
