"""The options that every server has: with TLS or without, and by which certificate."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from fg_tls.errors import CertificateError, NotProvisionedError

if TYPE_CHECKING:
    import socket
    from collections.abc import Hashable

    from fg_tls.host.store import Store
    from fg_tls.pki.contexts import Material, Source


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --tls, --no-tls, --insecure, --tls-cert, --tls-key and --regen-token."""
    add = parser.add_argument
    add(
        "--tls",
        action=argparse.BooleanOptionalAction,
        help="serve HTTPS, or never (default: when this host has a certificate, see `forgather tls`)",
    )
    add("--insecure", action="store_true", help="listen beyond this machine in clear text, readable by everybody")
    add("--tls-cert", type=Path, metavar="FILE", help="a certificate chain (PEM), instead of the one of this host")
    add("--tls-key", type=Path, metavar="FILE", help="its private key (default: in the same file)")
    add("--regen-token", action="store_true", help="make a new token; those who have the old one are shut out")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What was asked for; None leaves the choice to what this host has."""

    tls: bool | None = None
    insecure: bool = False
    certificate: Path | None = None
    key: Path | None = None
    regenerate_token: bool = False

    @classmethod
    def of(cls, args: argparse.Namespace) -> Self:
        """Those of a parser with `add_options`."""
        return cls(
            tls=args.tls,
            insecure=args.insecure,
            certificate=args.tls_cert,
            key=args.tls_key,
            regenerate_token=args.regen_token,
        )

    def source(self) -> Source | Literal["off"]:
        """The `tls` of `fg_tls.serve`.

        Raises:
            CertificateError: the options contradict each other, or a file cannot be used.
            NotProvisionedError: TLS was asked for, and this host has no certificate.
        """
        from fg_tls.host.store import Store
        from fg_tls.pki.contexts import server_context

        store = Store()
        if self.certificate is None and self.key is not None:
            raise CertificateError("--tls-key goes with --tls-cert; name the certificate too")
        if self.certificate is not None and self.tls is False:
            raise CertificateError("--no-tls and --tls-cert contradict each other; leave one out")
        if self.certificate is not None:
            source: Source = _Brought(store, self.certificate, self.key)
        elif self.tls or (self.tls is None and store.provisioned and store.enabled):
            source = _provisioned(store)
        else:
            return "off"
        server_context(source)  # what cannot be used is said before slow preparations
        return source

    def check(self, listener: socket.socket, source: Source | Literal["off"]) -> None:
        """Refuse at once what `fg_tls.serve` would refuse after slow preparations.

        Raises:
            AddressError: `listener` would leave this machine in clear text.
        """
        from fg_tls.listener.binding import refuse_clear_text

        if source == "off" and not self.insecure:
            refuse_clear_text(listener)


@dataclass(frozen=True, slots=True)
class _Brought:
    """A certificate from the command line, for clients that this host knows."""

    store: Store
    certificate: Path
    key: Path | None

    def stamp(self) -> Hashable:
        return (self.store.stamp(), *(_stamp(path) for path in (self.certificate, self.key)))

    def material(self) -> Material:
        return replace(self.store.client_material(), certificate_file=self.certificate, key_file=self.key)


def _stamp(path: Path | None) -> Hashable:
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ino, found.st_size) if found is not None else None


def _provisioned(store: Store) -> Store:
    if not store.provisioned:
        raise NotProvisionedError(
            f"--tls needs a certificate, and {store.directory} has none; run `forgather tls init`, on a host that "
            "joins others `forgather tls join`, or give one with --tls-cert"
        )
    return store
