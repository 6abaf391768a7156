"""The TLS directory of this host: `<config dir>/tls`, or `$FORGATHER_TLS_DIR`.

    config.yaml         what a person may change
    identity.pem  0600  private key and certificate chain of this host, in one file so that they always match
    authorities.pem     the authorities of our cluster; two while one follows the other
    trusted/NAME.crt    authorities that were imported
    installed.pem 0600  key and chain of a certificate of another authority, shown by servers in place of our own
    trust.pem           every authority, for other programs (curl --cacert); made from the others, never read
    revoked.crl         what the authority has revoked, signed by it
    state.json          when this host renewed, and what went wrong
    ca/           0700  on the host of the authority only: authority.pem (key and certificate), and its books

Every file is replaced in one step, so that a crash leaves the old one or the new one. Of Forgather 1.x, server.crt,
server.key and ca/ca.crt are used for as long as there is no identity.pem.
"""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from fg_config.files import atomic_write, private_directory
from fg_config.paths import config_dir
from fg_tls.errors import NotProvisionedError, StoreError
from fg_tls.host import settings
from fg_tls.host.locks import FileLock
from fg_tls.host.safe_files import check_directory, read_brought, read_file, read_private
from fg_tls.host.settings import Settings
from fg_tls.pki import keys, revocation
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Certificate, read_pem
from fg_tls.pki.contexts import Material


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The files that servers show: a certificate chain, and its key (None: in the same file)."""

    certificate_file: Path
    key_file: Path | None = None
    brought: bool = False  # whether something else than this package looks after them


class Store:
    """The TLS directory; it is created by the first write. A `Source` of material for contexts."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or tls_dir()
        self._lock = FileLock(self.directory / ".lock")
        self._settings: tuple[Hashable, Settings] | None = None

    # --- reading -----------------------------------------------------------------------------------------------------

    @property
    def provisioned(self) -> bool:
        """Whether servers of this host have a certificate.

        Raises:
            StoreError: config.yaml cannot be used.
        """
        return self.served() is not None

    @property
    def enabled(self) -> bool:
        """Whether servers of this host use the certificate that they have.

        Raises:
            StoreError: config.yaml cannot be used.
        """
        return self.settings().enabled

    @property
    def identity_path(self) -> Path:
        return self.directory / "identity.pem"

    @property
    def authority_path(self) -> Path:
        return self.directory / "ca" / "authority.pem"

    @property
    def revoked_path(self) -> Path:
        return self.directory / "revoked.crl"

    @property
    def trust_path(self) -> Path:
        """Every authority that this host trusts, for other programs."""
        return self.directory / "trust.pem"

    def settings(self) -> Settings:
        """What config.yaml says now.

        Raises:
            StoreError: it cannot be used.
        """
        stamp = _stat(self._settings_path)
        if self._settings is None or self._settings[0] != stamp:
            self._settings = (stamp, settings.read(self.directory))
        return self._settings[1]

    def identity(self) -> Identity:
        """The certificate of this host.

        Raises:
            NotProvisionedError: it has none.
            StoreError: the file is not safe.
            CertificateError: it cannot be used.
        """
        if not _exists(self.identity_path):
            raise NotProvisionedError(
                f"no certificate in {self.directory}; run `forgather tls init`, or on a host that "
                "joins others `forgather tls join`"
            )
        key, chain = keys.read_pair(read_private(self.identity_path), str(self.identity_path))
        return Identity(key=key, chain=tuple(chain))

    def authority(self) -> Authority:
        """The authority, on its host.

        Raises:
            NotProvisionedError: it is elsewhere, or there is none.
            StoreError: the file is not safe.
            CertificateError: it cannot be used.
        """
        if not _exists(self.authority_path):
            raise NotProvisionedError(
                f"no authority in {self.directory / 'ca'}; run this on the host where `forgather tls init` was run"
            )
        return Authority.from_pem(read_private(self.authority_path), str(self.authority_path))

    def authorities(self) -> tuple[Certificate, ...]:
        """Everyone who vouches for our peers: the authorities of our cluster, then imported ones.

        Raises:
            StoreError, CertificateError: a file of them cannot be used.
        """
        files = [path for path in self._authority_files() if _exists(path)]
        found = (each for path in files for each in read_pem(read_file(path), str(path)))
        return tuple(dict.fromkeys(found))

    def cluster_authorities(self) -> tuple[Certificate, ...]:
        """The authorities of our cluster, the one that signs first.

        Raises:
            StoreError, CertificateError: the file cannot be used.
        """
        path = self.directory / "authorities.pem"
        return tuple(read_pem(read_file(path), str(path))) if _exists(path) else ()

    def imported_authorities(self) -> dict[Path, tuple[Certificate, ...]]:
        """The authorities of `trusted/`, by file.

        Raises:
            StoreError, CertificateError: a file of them cannot be used.
        """
        return {path: tuple(read_pem(read_file(path), str(path))) for path in self._trusted_files(self.settings())}

    def served(self) -> Served | None:
        """What servers of this host show: a certificate that was brought, that of this host, or one of Forgather 1.x.

        Raises:
            StoreError: config.yaml cannot be used.
        """
        found, old = self.settings(), self.directory / "server.crt"
        if found.server_cert is not None and found.server_cert != old:
            return Served(certificate_file=found.server_cert, key_file=found.server_key, brought=True)
        if _exists(self.identity_path):
            return Served(certificate_file=self.identity_path)
        if _exists(old):
            key = found.server_key or self.directory / "server.key"
            return Served(certificate_file=old, key_file=key, brought=True)
        return None

    def stamp(self) -> Hashable:
        """Changes with every file that `material` reads."""
        try:
            found = self.settings()
        except StoreError:
            return _stat(self._settings_path)
        return tuple((path, _stat(path)) for path in self._inputs(found))

    def material(self) -> Material:
        """What servers of this host show, and whom it trusts.

        Raises:
            StoreError: a file is missing or unsafe.
            CertificateError: a certificate or key cannot be used.
        """
        check_directory(self.directory)
        served = self.served()
        if served is None:
            return Material(authorities=self.authorities(), revoked=revocation.read(self))
        self._check(served)
        return Material(
            certificate_file=served.certificate_file,
            key_file=served.key_file,
            authorities=self.authorities(),
            revoked=revocation.read(self),
        )

    def client_material(self) -> Material:
        """What clients of this host show: its own certificate, also where servers show one that was brought.

        Raises:
            StoreError: a file is missing or unsafe.
            CertificateError: a certificate or key cannot be used.
        """
        check_directory(self.directory)
        own = self.identity_path if _exists(self.identity_path) else None
        if own is not None:
            self.identity()
        return Material(certificate_file=own, authorities=self.authorities(), revoked=revocation.read(self))

    def read_state(self) -> dict[str, Any]:
        """What is remembered about renewals; nothing when that cannot be read."""
        try:
            found = json.loads((self.directory / "state.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    # --- writing -----------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep others from writing until the block ends. It may be nested.

        Raises:
            StoreError: the directory is not safe or cannot be written, or another program does not stop writing.
        """
        check_directory(self.directory)
        with ExitStack() as stack:
            try:
                _create_private(self.directory)
                stack.enter_context(self._lock.held())
            except OSError as error:
                raise self._unwritable(error) from error
            yield

    def save_identity(self, identity: Identity) -> None:
        """Replace key and certificate of this host; from the first one on, those of Forgather 1.x count no more."""
        with self.writing():
            first = not _exists(self.identity_path)
            self.write("identity.pem", identity.pem(), mode=0o600)
            if first:
                self.rebuild_trust()

    def save_authority(self, authority: Authority) -> None:
        """Replace the authority of this host, which every host trusts from `save_authorities` on."""
        self.write("ca/authority.pem", authority.pem(), mode=0o600)

    def save_authorities(self, certificates: tuple[Certificate, ...]) -> None:
        """Replace the authorities of our cluster."""
        with self.writing():
            self.write("authorities.pem", b"".join(each.pem for each in certificates))
            self.rebuild_trust()

    def rebuild_trust(self) -> None:
        """Make trust.pem again, after a change of any authority."""
        self.write("trust.pem", b"".join(each.pem for each in self.authorities()))

    def save_settings(self, **changes: Any) -> None:
        """Change keys of config.yaml; its comments stay.

        Raises:
            StoreError: the file cannot be used or edited.
        """
        with self.writing():
            text = settings.read_text(self._settings_path)
            text = settings.TEMPLATE if text is None else text
            self.write(settings.FILE_NAME, settings.edited(text, self._settings_path, changes).encode())

    def write_state(self, **changes: Any) -> None:
        """Remember these values besides the others; None forgets one."""
        with self.writing():
            state = self.read_state() | changes
            kept = {key: value for key, value in sorted(state.items()) if value is not None}
            self.write("state.json", json.dumps(kept, indent=1).encode() + b"\n")

    def write(self, name: str, data: bytes, *, mode: int = 0o644) -> None:
        """Replace a file of the directory in one step.

        Raises:
            StoreError: it cannot be written.
        """
        with self.writing():
            target = self.directory / name
            try:
                _create_private(target.parent)
                atomic_write(target, data, mode=mode)
            except OSError as error:
                raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(f"cannot write to {self.directory}: {error.strerror or error}")

    # --- files -------------------------------------------------------------------------------------------------------

    @property
    def _settings_path(self) -> Path:
        return self.directory / settings.FILE_NAME

    def _authority_files(self) -> list[Path]:
        found = self.settings()
        old = self.directory / "ca" / "ca.crt"
        brought = [] if found.ca_cert is None or found.ca_cert == old else [found.ca_cert]
        until_now = [] if _exists(self.identity_path) else [old]
        return [self.directory / "authorities.pem", *brought, *until_now, *self._trusted_files(found)]

    def _trusted_files(self, found: Settings) -> list[Path]:
        return sorted((found.trusted_dir or self.directory / "trusted").glob("*.crt"))

    def _inputs(self, found: Settings) -> list[Path]:
        brought = [path for path in (found.server_cert, found.server_key, found.ca_cert) if path is not None]
        own = ("config.yaml", "identity.pem", "authorities.pem", "revoked.crl", "server.crt", "server.key", "ca/ca.crt")
        return [*(self.directory / name for name in own), *brought, *self._trusted_files(found)]

    def _check(self, served: Served) -> None:
        if not served.brought:
            self.identity()
            return
        chain = read_pem(read_file(served.certificate_file), str(served.certificate_file))
        path = served.key_file or served.certificate_file
        keys.check_pair(keys.read_key(read_brought(path), str(path)), chain, str(path))


def _create_private(directory: Path) -> None:
    """Create a directory and those above it for this user only, whatever the umask."""
    if not directory.parent.exists():
        _create_private(directory.parent)
    private_directory(directory)


def _exists(path: Path) -> bool:
    """Whether something is there; a link without a target is, and reading it says so.

    Raises:
        StoreError: its directory cannot be looked into.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    return True


def _stat(path: Path) -> Hashable:
    try:
        found = path.stat()
    except OSError:
        return None
    # The inode and its change time too: a file may be replaced within one tick, or with its old date.
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size
