"""The first certificate of a cluster: an authority on this host, and what it vouches for at once.

Everything happens under the lock of the directory. Files are written in an order in which a crash leaves the old state
or the new one, and the same command can be run again.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fg_config.files import atomic_write, private_directory
from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import StoreError
from fg_tls.host.safe_files import read_file
from fg_tls.host.store import Identity, Store
from fg_tls.host.this_host import names_of_this_host
from fg_tls.issuing import ISSUER_PORT
from fg_tls.issuing.books import Books
from fg_tls.pki import keys
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Member
from fg_tls.pki.names import Names, private_constraints

NO_NAMES: Final = Names()
_MOST_ISSUERS: Final = 4  # URLs of one host, for others to try in turn

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

    The authority may vouch for private names and addresses, for `names` and those in config.yaml, and for the names of
    this host, now and for as long as it lives. `name` is what browsers call it. With `force` a new authority takes the
    place of the old one, for `names` alone, and the directory as it was is kept beside it.

    Raises:
        StoreError: there is a certificate already, and `force` is not set; or the directory cannot be used.
    """
    with store.writing():
        replaced = force and store.authority_path.exists()
        if force:
            _back_up(store, clock, say)
        else:
            _refuse_second(store, names)
            names = names | store.settings().names
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
    if replaced:
        say(
            "Hosts that have joined know the old authority only; let each join again with `forgather tls join --force`."
        )
    return identity


def issuer_urls(names: Names) -> list[str]:
    """Where others reach the issuer on a host of these names."""
    hosts = [each for each in names.hostnames if "." in each]
    addresses = [each for each in names.addresses if each.version == 4 and not each.is_loopback]
    return [f"https://{each}:{ISSUER_PORT}" for each in (*hosts, *addresses)][:_MOST_ISSUERS]


def _refuse_second(store: Store, names: Names) -> None:
    if not store.identity_path.exists():
        return
    if not store.authority_path.exists():
        ours = store.identity().certificate
        raise StoreError(
            f"this host belongs to the cluster of {ours.issuer!r}; a second authority would split trust, so that hosts "
            "of one do not know those of the other. For names that its authority may vouch for run `forgather tls "
            "renew --add-hostname NAME`; to leave that cluster, `forgather tls init --force`"
        )
    if names:
        _refuse_outside(store, store.authority(), names)
    raise StoreError(
        f"{store.directory} has an authority and a certificate; for names that it may vouch for run `forgather tls "
        "renew --add-hostname NAME`, to begin anew `forgather tls init --force`, which keeps a copy"
    )


def _new_authority(title: str, given: Names, own: Names, clock: Clock) -> Authority:
    # Names of this host only: an address outside private networks may be somebody else's next year.
    constraints = private_constraints(given | Names(hostnames=own.hostnames))
    return Authority.create(title, constraints, now=clock())


def _left_authority(store: Store, given: Names) -> Authority:
    found = store.authority()
    _refuse_outside(store, found, given)
    return found


def _refuse_outside(store: Store, authority: Authority, given: Names) -> None:
    """Refuse names that can never be in a certificate of this authority: its limits are part of it."""
    permitted = authority.constraints.permits(given)
    outside = [each for each in (*given.hostnames, *map(str, given.addresses)) if each not in permitted]
    if outside:
        raise StoreError(
            f"{store.authority_path} may not vouch for {', '.join(outside)}; "
            "run `forgather tls init --force`, which makes another authority and keeps a copy of this one"
        )


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
