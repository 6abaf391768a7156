"""What a server may be called: host names and addresses in certificates, and the limits that an authority sets them.

An authority of ours can only vouch for private addresses and private names (name constraints, RFC 5280 section
4.2.1.10; OpenSSL, NSS and Go enforce them). Somebody who steals its key cannot impersonate a bank with it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fg_tls.errors import HostNameError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# ASCII, since "ſ" is an "s" in another case. The last label has a letter (RFC 3696 section 2): 10.0.0.300 is a slip.
_HOSTNAME: Final = re.compile(rf"({_LABEL}\.)*(?![0-9]+$){_LABEL}", re.IGNORECASE | re.ASCII)

_PRIVATE_NETWORKS: Final = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
)
_PRIVATE_DOMAINS: Final = ("home.arpa", "internal", "lan", "local", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Host names (lower case) and addresses that one certificate stands for."""

    hostnames: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.hostnames or self.addresses)

    def __str__(self) -> str:
        return ", ".join([*self.hostnames, *map(str, self.addresses)])

    def __or__(self, other: Names) -> Names:
        return Names(
            hostnames=tuple(dict.fromkeys((*self.hostnames, *other.hostnames))),
            addresses=tuple(dict.fromkeys((*self.addresses, *other.addresses))),
        )

    def __contains__(self, host: str) -> bool:
        """Whether a client that asks for `host` (a name or an address, as in a URL) is at the right place."""
        address = as_address(host)
        return host.lower() in self.hostnames if address is None else address in self.addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What an authority may vouch for: names equal to or below `domains`, addresses in `networks`."""

    domains: tuple[str, ...]
    networks: tuple[Network, ...]

    def permits(self, names: Names) -> Names:
        """The part of `names` that is within these limits."""
        return Names(
            hostnames=tuple(name for name in names.hostnames if self._permits_hostname(name)),
            addresses=tuple(address for address in names.addresses if self._permits_address(address)),
        )

    def _permits_hostname(self, name: str) -> bool:
        lower = name.lower()
        return any(f".{lower}".endswith(f".{domain.lower()}") for domain in self.domains)

    def _permits_address(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def private_constraints(given: Names = Names()) -> Constraints:
    """Private addresses and domains, and each name of `given` besides.

    A domain takes in what is below it: of a host called `dev` the authority may vouch for `*.dev`, a public domain. To
    exclude `.dev` would take a constraint that begins with a dot. RFC 5280 knows none for host names, and there are
    verifiers (pyca/cryptography) that refuse every certificate of an authority that has one.
    """
    networks = [ipaddress.ip_network(each) for each in _PRIVATE_NETWORKS]
    own = [ipaddress.ip_network(address) for address in given.addresses]
    new = [network for network in own if not any(network.overlaps(each) for each in networks)]
    domains = (*_PRIVATE_DOMAINS, *given.hostnames)
    # A domain below another one adds nothing.
    kept = [each for each in dict.fromkeys(domains) if not any(each.endswith(f".{other}") for other in domains)]
    return Constraints(domains=tuple(sorted(kept)), networks=(*networks, *new))


def parse_names(texts: Iterable[str]) -> Names:
    """Host names and addresses as people write them.

    Raises:
        HostNameError: one of them is neither.
    """
    hostnames: list[str] = []
    addresses: list[Address] = []
    for text in texts:
        address = as_address(text)
        if address is not None:
            addresses.append(_without_zone(address))
        elif _HOSTNAME.fullmatch(text) and len(text) <= 253:
            hostnames.append(text.lower())
        else:
            raise HostNameError(
                f"{text!r} is neither a host name nor an address; write for example box.lan or 10.0.0.5"
            )
    return Names(hostnames=tuple(hostnames), addresses=tuple(addresses))


def _without_zone(address: Address) -> Address:
    """`fe80::1` of `fe80::1%eth0`: the network card of one host means nothing in a certificate, which has no zones."""
    return ipaddress.IPv6Address(int(address)) if isinstance(address, ipaddress.IPv6Address) else address


def as_address(text: str) -> Address | None:
    """`text` as an address, with or without the brackets of a URL; None for a name."""
    try:
        return ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
