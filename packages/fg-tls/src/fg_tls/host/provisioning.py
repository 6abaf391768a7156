"""What is done by hand to the TLS directory: certificates come and go as files, and TLS is turned off and on.

Each function is one step under the lock of the directory. Files are written in an order in which a crash leaves the
old state or the new one, and the same command can be run again. `init` and `status` are part of it, in modules of
their own.
"""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from fg_config.files import atomic_write, private_directory
from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import CertificateError, NotProvisionedError, StoreError
from fg_tls.host.founding import init as init
from fg_tls.host.safe_files import read_brought, read_file
from fg_tls.host.status import Status as Status
from fg_tls.host.status import status as status
from fg_tls.host.store import Identity, Store
from fg_tls.issuing.books import Books
from fg_tls.pki import keys
from fg_tls.pki.certificates import Certificate, Member, Role, read_pem
from fg_tls.pki.checks import check_authority, check_served
from fg_tls.pki.names import Names

_OURS: Final = (
    "identity.pem",
    "installed.pem",
    "ca/authority.pem",
    "ca/next.pem",
    "ca/successions.json",
    "ca/books.*",
    "ca/rotation.lock",
    "authorities.pem",
    "trusted/*.crt",
    "trust.pem",
    "revoked.crl",
    "state.json",
    "config.yaml",
    ".*.tmp",  # of a writer that was killed
    "*/.*.tmp",
    "ca/*.lock",
    ".keeper.lock",
    ".upkeep.lock",
    ".lock",
)


def mint(store: Store, names: Names, directory: Path, *, role: Role = "member", clock: Clock = SYSTEM) -> Certificate:
    """Certificate and key for a host that cannot join by itself, as server.crt, server.key and ca.crt in `directory`.

    The key is on two hosts then, and the certificate does not renew itself; joining has neither drawback.

    Raises:
        NotProvisionedError: the authority is not on this host.
        StoreError: one of the files exists, or cannot be written.
        CertificateError: the authority may not vouch for one of the names.
    """
    authority = store.authority()
    files = {each: directory / each for each in ("server.key", "ca.crt", "server.crt")}
    if taken := next((path for path in files.values() if path.exists()), None):
        raise StoreError(f"{taken} exists, and keys are not overwritten; name another directory")
    if not names:
        raise StoreError("a certificate needs a name; give --hostname or --ip of the host that it is for")
    key = keys.new_key()
    member = Member(cluster=authority.cluster, role=role, id=str(uuid.uuid4()))
    certificate = authority.issue(key.public_key(), member=member, names=names, now=clock())
    try:
        if not directory.is_dir():  # one that is there may be shared, such as /tmp; the key is private in any case
            private_directory(directory)
        # Before its key can be used, and not if there is no place for it: a member holds its names for months.
        Books(store).record_minted(certificate, now=clock(), hostname=next(iter(names.hostnames), ""))
        atomic_write(files["server.key"], keys.key_pem(key), mode=0o600)
        atomic_write(files["ca.crt"], b"".join(each.pem for each in store.cluster_authorities()))
        atomic_write(files["server.crt"], certificate.pem)
    except OSError as error:
        raise StoreError(f"cannot write to {directory}: {error.strerror}") from error
    return certificate


def install(
    store: Store, certificate: Path, key: Path, authority: Path | None = None, *, clock: Clock = SYSTEM
) -> Certificate:
    """Copy a certificate that was made elsewhere into the directory, for the servers of this host.

    What `mint` has made becomes the certificate of this host, if `authority` is given as well; any other is shown by
    servers in its place. Files that something else renews are better named in config.yaml.

    Raises:
        CertificateError: key, chain, purpose or dates are wrong.
        StoreError: a file cannot be read, this host belongs to another cluster, or keeps authorities elsewhere.
    """
    now = clock()
    chain = read_pem(read_file(certificate), str(certificate))
    private = keys.read_key(read_brought(key), str(key))
    keys.check_pair(private, chain, str(key))
    trusted = read_pem(read_file(authority), str(authority)) if authority else []
    for each in trusted:
        check_authority(each, str(authority), now)
    check_served(chain, trusted, str(certificate), now)
    member = chain[0].member
    with store.writing():
        if member is not None and trusted and isinstance(private, ec.EllipticCurvePrivateKey):
            _refuse_other_cluster(store, member.cluster)
            others = tuple(each for each in store.cluster_authorities() if each not in trusted)
            store.save_authorities((*trusted, *others))
            store.save_identity(Identity(key=private, chain=tuple(chain)))
        else:
            if authority is not None:
                _refuse_other_directory(store, authority)
            _install_brought(store, keys.key_pem(private) + b"".join(each.pem for each in chain), trusted)
    return chain[0]


def export_authority(store: Store) -> bytes:
    """The authorities of our cluster as PEM, for those who shall trust them.

    Raises:
        NotProvisionedError: this host belongs to no cluster.
    """
    found = store.cluster_authorities()
    if not found:
        raise NotProvisionedError(f"no authority in {store.directory}; run `forgather tls init`")
    return b"".join(each.pem for each in found)


def import_authority(store: Store, path: Path, *, name: str | None = None, clock: Clock = SYSTEM) -> Certificate:
    """Trust another authority, as `trusted/<name>.crt`.

    Raises:
        CertificateError: the file does not hold one authority that is valid now.
        StoreError: another authority has that name, or a file cannot be read or written.
    """
    found = read_pem(read_file(path), str(path))
    if len(found) != 1:
        raise CertificateError(f"{path} holds {len(found)} certificates; import authorities one by one")
    check_authority(found[0], str(path), clock())
    slug = re.sub(r"[^a-z0-9._-]+", "-", (name or found[0].common_name).lower()).strip(".-")
    if not slug:
        raise StoreError(f"{name or found[0].common_name!r} cannot be the name of a file; give --name, such as office")
    with store.writing():
        _refuse_other_directory(store, path)
        target = store.directory / "trusted" / f"{slug}.crt"
        others = store.imported_authorities().get(target, ())
        if any(each.key_hash != found[0].key_hash for each in others):
            raise StoreError(f"{target} is another authority; give --name, or remove that file first")
        store.write(f"trusted/{slug}.crt", found[0].pem)
        store.rebuild_trust()
    return found[0]


def set_enabled(store: Store, enabled: bool) -> None:
    """Let servers of this host use its certificate, or keep them on loopback without TLS.

    Raises:
        NotProvisionedError: there is no certificate.
    """
    if not store.provisioned:
        raise NotProvisionedError(
            f"no certificate in {store.directory}; run `forgather tls init` on the first host, `forgather tls join` on "
            "the others"
        )
    store.save_settings(enabled=enabled)


def clean(store: Store) -> tuple[Path, ...]:
    """Remove what this package has written, keys first; gives the files that were left.

    Those are not ours, or they are what `trust-system --undo` takes back.

    Raises:
        StoreError: one of them cannot be removed.
    """
    if not store.directory.is_dir():
        return ()
    try:
        with store.writing():
            for path in (path for pattern in _OURS for path in sorted(store.directory.glob(pattern))):
                if path.is_symlink() or not path.is_dir():
                    path.unlink()
        for directory in (store.directory / "ca", store.directory / "trusted", store.directory):
            if directory.is_dir() and not any(directory.iterdir()):
                directory.rmdir()
    except OSError as error:
        raise StoreError(f"cannot remove {error.filename or store.directory}: {error.strerror}") from error
    return tuple(sorted(path for path in store.directory.rglob("*") if not path.is_dir()))


def _refuse_other_cluster(store: Store, cluster: str) -> None:
    if not store.identity_path.exists():
        return
    member = store.identity().certificate.member
    if member is None or member.cluster != cluster:
        raise StoreError(
            f"this host has a certificate of another cluster in {store.directory}; "
            "to leave that cluster, run `forgather tls clean` first"
        )


def _refuse_other_directory(store: Store, authority: Path) -> None:
    """Forgather 1.x let the directory of trusted authorities be elsewhere, where others may write too."""
    found = store.settings().trusted_dir
    if found not in (None, store.directory / "trusted"):
        raise StoreError(
            f"{store.directory / 'config.yaml'} has authorities in {found}; copy {authority} there under a name that "
            "ends in .crt, or remove trusted_dir from that file"
        )


def _install_brought(store: Store, pem: bytes, trusted: list[Certificate]) -> None:
    if trusted:
        store.write("trusted/installed.crt", b"".join(each.pem for each in trusted))
        store.rebuild_trust()
    store.write("installed.pem", pem, mode=0o600)
    store.save_settings(server_cert="installed.pem", server_key=None)
