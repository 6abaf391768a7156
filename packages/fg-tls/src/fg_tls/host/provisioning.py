"""Giving this host a certificate, and what else is done to its TLS directory by hand.

Each function is one step under the lock of the directory. Files are written in an order in which a crash leaves the
old state or the new one, and the same command can be run again.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from fg_config.files import atomic_write, private_directory
from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import CertificateError, NotProvisionedError, StoreError
from fg_tls.host.safe_files import read_brought, read_file
from fg_tls.host.status import Status as Status
from fg_tls.host.status import status as status
from fg_tls.host.store import Identity, Store
from fg_tls.host.this_host import names_of_this_host
from fg_tls.issuing import ISSUER_PORT
from fg_tls.issuing.books import Books
from fg_tls.pki import keys
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Certificate, Member, Role, read_pem
from fg_tls.pki.checks import check_authority, check_served
from fg_tls.pki.names import Names, private_constraints

NO_NAMES: Final = Names()
_MOST_ISSUERS: Final = 4  # URLs of one host, for others to try in turn
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
    ".lock",
)

Say = Callable[[str], None]


def init(
    store: Store,
    *,
    names: Names = NO_NAMES,
    name: str | None = None,
    force: bool = False,
    clock: Clock = SYSTEM,
    say: Say = lambda _line: None,
) -> Identity:
    """Make an authority on this host, and a certificate for it.

    The authority may vouch for private names and addresses, for `names`, and for the names of this host, now and for
    as long as it lives. `name` is what browsers call it. With `force` a new authority takes the place of the old one,
    and the directory as it was is kept beside it.

    Raises:
        StoreError: there is a certificate already, and `force` is not set; or the directory cannot be used.
    """
    with store.writing():
        if force:
            _back_up(store, clock, say)
        else:
            _refuse_second(store)
        own = names_of_this_host()
        anew = force or not store.authority_path.exists()  # else it is one that an interrupted `init` has left
        title = name or f"Forgather on {own.hostnames[0]}"
        authority = _new_authority(title, names, own, clock) if anew else _left_authority(store, names)
        identity = _first_identity(authority, names | authority.constraints.permits(own), clock)
        store.save_settings(
            enabled=True,
            hostnames=list(names.hostnames),
            addresses=[str(each) for each in names.addresses],
            issuers=issuer_urls(identity.certificate.names),
        )
        _put_in_place(store, authority, identity, anew=anew)
    # Not within the lock: an issuer that is running takes that of the books first.
    Books(store).record_issue(identity.certificate, now=clock(), hostname=own.hostnames[0])
    return identity


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
    Books(store).record_issue(certificate, now=clock(), hostname=next(iter(names.hostnames), ""))
    try:
        private_directory(directory)
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
        raise NotProvisionedError(f"no certificate in {store.directory}; run `forgather tls init`")
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


def issuer_urls(names: Names) -> list[str]:
    """Where others reach the issuer on a host of these names."""
    hosts = [each for each in names.hostnames if "." in each]
    addresses = [each for each in names.addresses if each.version == 4 and not each.is_loopback]
    return [f"https://{each}:{ISSUER_PORT}" for each in (*hosts, *addresses)][:_MOST_ISSUERS]


# --- the steps of init -----------------------------------------------------------------------------------------------


def _refuse_second(store: Store) -> None:
    if not store.identity_path.exists():
        return
    if not store.authority_path.exists():
        ours = store.identity().certificate
        raise StoreError(
            f"this host belongs to the cluster of {ours.issuer!r}; a second authority would split trust, so that hosts "
            "of one do not know those of the other. For other names run `forgather tls renew --add-hostname NAME`; "
            "to leave that cluster, `forgather tls init --force`"
        )
    raise StoreError(
        f"{store.directory} has an authority and a certificate; for other names run `forgather tls renew "
        "--add-hostname NAME`, to begin anew `forgather tls init --force`, which keeps a copy"
    )


def _new_authority(title: str, given: Names, own: Names, clock: Clock) -> Authority:
    # Names of this host only: an address outside private networks may be somebody else's next year.
    constraints = private_constraints(given | Names(hostnames=own.hostnames))
    return Authority.create(title, constraints, now=clock())


def _left_authority(store: Store, given: Names) -> Authority:
    found = store.authority()
    if found.constraints.permits(given) != given:
        raise StoreError(
            f"{store.authority_path} may not vouch for all of {given}; "
            "run `forgather tls init --force`, which makes another authority and keeps a copy of this one"
        )
    return found


def _first_identity(authority: Authority, names: Names, clock: Clock) -> Identity:
    key = keys.new_key()
    member = Member(cluster=authority.cluster, role="member", id=str(uuid.uuid4()))
    certificate = authority.issue(key.public_key(), member=member, names=names, now=clock())
    return Identity(key=key, chain=(certificate,))


def _put_in_place(store: Store, authority: Authority, identity: Identity, *, anew: bool) -> None:
    """The certificate comes after everything it needs. Until then an old one stays in use, and is trusted."""
    certificate = authority.certificate
    before = tuple(each for each in store.cluster_authorities() if each != certificate)
    store.save_authorities((certificate, *before))
    if anew:
        store.save_authority(authority)
        _remove(store, "ca/books.json", "ca/next.pem", "ca/successions.json")  # of the authority before
    store.save_identity(identity)
    if before:
        _remove(store, "revoked.crl", "state.json")
        store.save_authorities((certificate,))


def _remove(store: Store, *names: str) -> None:
    for name in names:
        (store.directory / name).unlink(missing_ok=True)


def _back_up(store: Store, clock: Clock, say: Say) -> None:
    """A whole copy beside the directory, if anything is in it; it has its name only when it is complete."""
    source = store.directory
    if not any(path.name != ".lock" for path in source.iterdir()):
        return
    target = source.with_name(f"{source.name}.backup-{clock():%Y%m%d-%H%M%S}")
    if target.exists():
        target = target.with_name(f"{target.name}-{uuid.uuid4().hex[:6]}")
    try:
        for unfinished in source.parent.glob(f".{source.name}.backup-*"):  # of one that was killed
            shutil.rmtree(unfinished)
        _copy(source, private_directory(source.with_name(f".{target.name}.{uuid.uuid4()}"))).rename(target)
    except OSError as error:
        raise StoreError(
            f"cannot keep a copy of {source} as {target}: {error.strerror}; nothing was changed"
        ) from error
    say(f"The directory as it was is kept as {target}.")


def _copy(source: Path, target: Path) -> Path:
    for path in sorted(source.rglob("*")):
        if path.is_dir():
            private_directory(target / path.relative_to(source))
        elif path.name != ".lock":
            atomic_write(target / path.relative_to(source), read_file(path), mode=path.stat().st_mode & 0o777)
    return target


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
