"""Why names are not in the certificate of a host, for the person who looks for them there."""

from __future__ import annotations

from fg_tls.host.store import Store
from fg_tls.host.this_host import names_of_this_host
from fg_tls.membership.renewal import declined
from fg_tls.pki.certificates import Certificate
from fg_tls.pki.names import Constraints, Names, as_address


def left_out(store: Store, certificate: Certificate, asked: Names) -> list[str]:
    """A line for each of the `asked` names that `certificate` lacks, and for each of this host that it can never have.

    Addresses of containers and of IPv6, of which a host has many, are not spoken of unless they were asked for.
    """
    limits = next((each.constraints for each in store.cluster_authorities()), None)
    own = Names() if limits is None else _beyond(limits, names_of_this_host(bridges=False))
    return [f"left out: {name} ({_reason(name, limits)})" for name in declined(asked | own, certificate)]


def _beyond(limits: Constraints, own: Names) -> Names:
    within = limits.permits(own)
    return Names(
        hostnames=tuple(each for each in own.hostnames if each not in within),
        addresses=tuple(each for each in own.addresses if each.version == 4 and str(each) not in within),
    )


def _reason(name: str, limits: Constraints | None) -> str:
    address = as_address(name)
    single = Names(hostnames=(name,)) if address is None else Names(addresses=(address,))
    if limits is None or limits.permits(single):
        return "another host has it, or somebody has chosen other names for this one"
    if address is not None:
        return (
            "the authority may not vouch for it; use a private address, or name it at `forgather tls init --ip ADDRESS`"
        )
    local = f"{name.split('.')[0]}.local"
    return f"the authority may not vouch for it; use {local}, or name it at `forgather tls init --hostname NAME`"
