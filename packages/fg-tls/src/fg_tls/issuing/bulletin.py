"""What an issuer tells every member: whom to trust, who is revoked, and where the issuers are.

A member takes over what is new, and says with its next question which bulletin it has carried out. That is all the
reporting that a change of authorities needs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from fg_tls.errors import CertificateError, JoinError
from fg_tls.pki import revocation
from fg_tls.pki.certificates import Certificate, read_pem

if TYPE_CHECKING:
    from fg_tls.host.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulletin:
    """Authorities (the one that signs first), the revocation list (PEM, may be empty), and URLs of issuers."""

    authorities: tuple[Certificate, ...]
    revoked: bytes
    issuers: tuple[str, ...]

    @classmethod
    def of(cls, store: Store) -> Self:
        """What the files of this host say."""
        return cls(
            authorities=store.cluster_authorities(),
            revoked=revocation.read_bytes(store),
            issuers=store.settings().issuers,
        )

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """A bulletin as it came from an issuer.

        Raises:
            JoinError: a part is missing or of the wrong kind.
        """
        try:
            authorities = tuple(read_pem(body["authorities"].encode(), "the issuer's answer"))
            revoked, issuers = body["revoked"].encode(), tuple(body["issuers"])
        except (KeyError, AttributeError, TypeError, CertificateError) as error:
            raise JoinError(f"the issuer's answer lacks a part or has one that cannot be read: {error}") from error
        if not all(isinstance(each, str) and each.startswith("https://") for each in issuers):
            raise JoinError("the issuer names issuers whose URLs do not begin with https://")
        return cls(authorities=authorities, revoked=revoked, issuers=issuers)

    def to_json(self) -> dict[str, Any]:
        return {
            "authorities": b"".join(each.pem for each in self.authorities).decode(),
            "revoked": self.revoked.decode(),
            "issuers": list(self.issuers),
        }

    @property
    def version(self) -> str:
        """Changes with every part."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:32]

    def take(self, store: Store) -> None:
        """Make the files of this host say the same, in an order in which each step can be the last one for a while.

        Raises:
            JoinError: an authority is of another cluster, or may vouch for anybody.
            StoreError: none of our authorities has signed the revocation list.
        """
        ours = store.cluster_authorities()
        for each in self.authorities:
            if each not in ours and not _of_cluster(each, ours):
                raise JoinError(f"the issuer names {each.common_name!r} as an authority, which is not of this cluster")
        # A list must at all times be signed by somebody we trust: both are trusted while it changes hands.
        both = (*self.authorities, *(each for each in ours if each not in self.authorities))
        _save_authorities(store, both)
        if self.revoked:
            revocation.take(store, self.revoked, "the issuer's revocation list")
        _save_authorities(store, self.authorities)
        if self.issuers and self.issuers != store.settings().issuers:
            store.save_settings(issuers=list(self.issuers))


def _save_authorities(store: Store, wanted: tuple[Certificate, ...]) -> None:
    if store.cluster_authorities() != wanted:
        store.save_authorities(wanted)


def _of_cluster(authority: Certificate, ours: tuple[Certificate, ...]) -> bool:
    clusters = {each.cluster for each in ours}
    return authority.is_authority and authority.is_constrained and authority.cluster in clusters
