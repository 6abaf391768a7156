"""The TLS directory of this host: `<config dir>/tls`, or `$FORGATHER_TLS_DIR`.

    config.yaml         what a person may change
    identity.pem  0600  private key and certificate chain of this host, in one file so that they always match
    authorities.pem     the authorities of our cluster; two while one follows the other
    trusted/NAME.crt    authorities that were imported
    trust.pem           both, for other programs (curl --cacert); made from them, never read
    revoked.crl         what the authority has revoked, signed by it
    state.json          when this host renewed, and what went wrong
    ca/           0700  on the host of the authority only: authority.pem (key and certificate), and its books

Every file is replaced in one step, so that a crash leaves the old one or the new one.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from fg_config.files import atomic_write, private_directory
from fg_config.paths import config_dir
from fg_tls import keys
from fg_tls.authority import Authority
from fg_tls.certificates import Certificate, read_pem
from fg_tls.contexts import Material
from fg_tls.errors import NotProvisionedError, StoreError


def tls_dir() -> Path:
    """The TLS directory: `$FORGATHER_TLS_DIR`, else `tls` in the user's configuration directory."""
    override = os.environ.get("FORGATHER_TLS_DIR")
    return Path(override).expanduser() if override else config_dir() / "tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The certificate chain of this host, leaf first, and its private key."""

    key: ec.EllipticCurvePrivateKey
    chain: tuple[Certificate, ...]

    @property
    def certificate(self) -> Certificate:
        return self.chain[0]

    def pem(self) -> bytes:
        return keys.key_pem(self.key) + b"".join(each.pem for each in self.chain)


class Store:
    """The TLS directory; it is created by the first write. A `Source` of material for contexts."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or tls_dir()

    # --- reading -----------------------------------------------------------------------------------------------------

    @property
    def provisioned(self) -> bool:
        """Whether servers of this host have a certificate."""
        return self.identity_path.is_file()

    @property
    def identity_path(self) -> Path:
        return self.directory / "identity.pem"

    @property
    def authority_path(self) -> Path:
        return self.directory / "ca" / "authority.pem"

    def identity(self) -> Identity:
        """The certificate of this host.

        Raises:
            NotProvisionedError: it has none.
            CertificateError: it cannot be used.
        """
        if not self.provisioned:
            raise NotProvisionedError(
                f"no certificate in {self.directory}; run `forgather tls init`, or on a host that "
                "joins others `forgather tls join`"
            )
        key, chain = keys.read_pair(self._read(self.identity_path), str(self.identity_path))
        return Identity(key=key, chain=tuple(chain))

    def authority(self) -> Authority:
        """The authority, on its host.

        Raises:
            NotProvisionedError: it is elsewhere, or there is none.
        """
        if not self.authority_path.is_file():
            raise NotProvisionedError(
                f"no authority in {self.directory / 'ca'}; run this on the host where `forgather tls init` was run"
            )
        return Authority.from_pem(self._read(self.authority_path), str(self.authority_path))

    def authorities(self) -> tuple[Certificate, ...]:
        """Everyone who vouches for our peers: the authorities of our cluster, then imported ones."""
        files = [self.directory / "authorities.pem", *sorted(self.directory.glob("trusted/*.crt"))]
        return tuple(each for path in files if path.is_file() for each in read_pem(self._read(path), str(path)))

    def stamp(self) -> Hashable:
        """Changes with every file that `material` reads."""
        return (_stat(self.identity_path), _stat(self.directory / "authorities.pem"), _stat(self.directory / "trusted"))

    def material(self) -> Material:
        """What servers and clients of this host show and trust."""
        identity = self.identity_path if self.provisioned else None
        return Material(certificate_file=identity, authorities=self.authorities())

    # --- writing -----------------------------------------------------------------------------------------------------

    def save_identity(self, identity: Identity) -> None:
        """Replace key and certificate of this host."""
        self._write("identity.pem", identity.pem(), mode=0o600)

    def save_authority(self, authority: Authority) -> None:
        """Replace the authority of this host, which every host trusts from `save_authorities` on."""
        private_directory(self.directory / "ca")
        self._write("ca/authority.pem", authority.pem(), mode=0o600)

    def save_authorities(self, certificates: tuple[Certificate, ...]) -> None:
        """Replace the authorities of our cluster."""
        self._write("authorities.pem", b"".join(each.pem for each in certificates))
        self._write("trust.pem", b"".join(each.pem for each in self.authorities()))

    def _write(self, name: str, data: bytes, *, mode: int = 0o644) -> None:
        private_directory(self.directory)
        atomic_write(self.directory / name, data, mode=mode)

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error


def _stat(path: Path) -> Hashable:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
