"""How a host hears that it was revoked itself: it is told no news any more, but the list is public, and signed."""

from __future__ import annotations

from contextlib import suppress

from fg_tls.clock import Clock
from fg_tls.errors import JoinError, PeerError, StoreError
from fg_tls.host.store import Store
from fg_tls.membership.asking import Line
from fg_tls.pki import revocation


def take_list(line: Line) -> None:
    """Keep the revocation list of whoever answers, if an authority of ours has signed it and it is news."""
    with suppress(JoinError, PeerError, StoreError):  # the refusal that led here is what counts
        revoked = line.ask_anybody("/v1/ca").get("revoked")
        if isinstance(revoked, str) and revoked:
            revocation.take(line.store, revoked.encode(errors="replace"), "the issuer's revocation list")


def is_revoked(store: Store, clock: Clock) -> bool:
    """Whether this host is on the list, after its issuers were asked for theirs.

    Raises:
        StoreError, CertificateError, NotProvisionedError: the files of this host cannot be used.
    """
    for url in store.settings().issuers:
        take_list(Line(store=store, url=url, clock=clock))
    return store.identity().certificate in revocation.read(store)
