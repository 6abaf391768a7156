"""Let the browsers of this machine trust our authority: the system's store, and the NSS databases of the user.

Only an authority with name constraints is installed. One without them could speak for every web site to these
browsers, and its key lies in a home directory.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from fg_config.files import atomic_write, private_directory
from fg_tls.errors import CertificateError, NotProvisionedError, StoreError
from fg_tls.host.store import Store
from fg_tls.pki.certificates import Certificate

INSTALLED: Final = "trust-system"  # in the TLS directory
_PATIENCE: Final = 120.0  # seconds for one command; update-ca-certificates reads every certificate of the system


class _Layout(NamedTuple):
    """Where a family of systems keeps added authorities, and how it takes note of them."""

    directory: str
    refresh: tuple[str, ...]


_LAYOUTS: Final = (
    _Layout("usr/local/share/ca-certificates", ("update-ca-certificates",)),  # Debian, Ubuntu, Alpine
    _Layout("etc/pki/ca-trust/source/anchors", ("update-ca-trust", "extract")),  # Fedora, RHEL
    _Layout("etc/ca-certificates/trust-source/anchors", ("trust", "extract-compat")),  # Arch
    _Layout("usr/share/pki/trust/anchors", ("update-ca-certificates",)),  # openSUSE
)
_KEYCHAIN: Final = "/Library/Keychains/System.keychain"

# Chromium, in a package and in a snap; then profiles of Firefox likewise.
_NSS_CHROMIUM: Final = (".pki/nssdb", ".local/share/pki/nssdb", "snap/chromium/current/.pki/nssdb")
_NSS_FIREFOX: Final = (".mozilla/firefox/*", "snap/firefox/common/.mozilla/firefox/*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine whose stores are changed: where its files are, and who asks."""

    root: Path = Path("/")
    home: Path = field(default_factory=Path.home)
    platform: str = sys.platform
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command, and whether it needs privileges that the user does not have."""

    what: str
    argv: tuple[str, ...]
    needs_sudo: bool = False

    def __str__(self) -> str:
        return shlex.join(("sudo", *self.argv) if self.needs_sudo else self.argv)


def plan(store: Store, machine: Machine, *, undo: bool = False) -> list[Step]:
    """The commands that make the stores of `machine` trust our authority, or forget it.

    Raises:
        CertificateError: the authority has no name constraints.
        NotProvisionedError: there is no authority.
        StoreError: the machine has no store that is known.
    """
    if undo:
        return list(_remove(_kept(store), machine))
    if _layout(machine) is None and machine.platform != "darwin" and not _nss_databases(machine):
        raise StoreError(
            f"no certificate store of the system or of a browser is known on this {machine.platform} machine; "
            f"give {store.directory / 'trust.pem'} to the browser by hand"
        )
    return list(_add(_copies(store), machine))


def carry_out(store: Store, steps: list[Step], *, undo: bool = False) -> None:
    """Run every step that needs no privileges; the others find their files in the TLS directory.

    Raises:
        StoreError: one of them failed.
    """
    if not undo:
        _keep_copies(store)
    for step in steps:
        if not step.needs_sudo:
            _run(step)
    if undo and not any(step.needs_sudo for step in steps):
        shutil.rmtree(_directory(store), ignore_errors=True)


# --- the certificates ------------------------------------------------------------------------------------------------


def _directory(store: Store) -> Path:
    """Copies of what was installed, one certificate a file: what `--undo` takes back when the authority has changed."""
    return store.directory / INSTALLED


def _copies(store: Store) -> list[Path]:
    authorities = _own_authorities(store)
    for authority in authorities:
        _check_constraints(authority)
    return [_copy(store, authority) for authority in authorities]


def _copy(store: Store, authority: Certificate) -> Path:
    return _directory(store) / f"forgather-{authority.key_hash[:12]}.crt"


def _keep_copies(store: Store) -> None:
    private_directory(_directory(store))
    for authority in _own_authorities(store):
        atomic_write(_copy(store, authority), authority.pem)


def _kept(store: Store) -> list[Path]:
    return sorted(_directory(store).glob("forgather-*.crt"))


def _own_authorities(store: Store) -> tuple[Certificate, ...]:
    found = store.cluster_authorities()
    if not found:
        raise NotProvisionedError(
            f"no authority in {store.directory}; run `forgather tls init`, or `forgather tls join`"
        )
    return found


def _check_constraints(authority: Certificate) -> None:
    if not authority.is_constrained:
        raise CertificateError(
            f"the authority {authority.common_name!r} has no name constraints: whoever reads its key could "
            "impersonate every web site to the browsers of this machine; make one that is limited to private names "
            "with `forgather tls init --force`"
        )


# --- the stores ------------------------------------------------------------------------------------------------------


def _add(copies: list[Path], machine: Machine) -> Iterator[Step]:
    layout = _layout(machine)
    for copy in copies:
        for database in _nss_databases(machine):
            yield from _nss_add(copy, database)
        if machine.platform == "darwin":
            words = ("security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", _KEYCHAIN, str(copy))
            yield Step(what="the system keychain", argv=words, needs_sudo=not machine.is_root)
        elif layout:
            target = machine.root / layout.directory / copy.name
            words = ("install", "-m", "0644", str(copy), str(target))
            yield Step(what="the system's store", argv=words, needs_sudo=not machine.is_root)
    if layout and copies:
        yield _refresh(layout, machine)


def _remove(copies: list[Path], machine: Machine) -> Iterator[Step]:
    layout = _layout(machine)
    changed = False
    for copy in copies:
        for database in _nss_databases(machine):
            if _in_nss(copy, database):
                words = ("certutil", "-d", f"sql:{database}", "-D", "-n", copy.stem)
                yield Step(what=str(database), argv=words)
        if machine.platform == "darwin":
            words = ("security", "remove-trusted-cert", "-d", str(copy))
            yield Step(what="the system keychain", argv=words, needs_sudo=not machine.is_root)
        elif layout and (installed := machine.root / layout.directory / copy.name).exists():
            changed = True
            yield Step(what="the system's store", argv=("rm", str(installed)), needs_sudo=not machine.is_root)
    if layout and changed:
        yield _refresh(layout, machine)


def _layout(machine: Machine) -> _Layout | None:
    found = (each for each in _LAYOUTS if (machine.root / each.directory).is_dir())
    return next(found, None) if machine.platform == "linux" else None


def _refresh(layout: _Layout, machine: Machine) -> Step:
    """Below another root, the commands of that system are meant."""
    within = () if machine.root == Path("/") else ("chroot", str(machine.root))
    return Step(what="the system's list", argv=(*within, *layout.refresh), needs_sudo=not machine.is_root)


def _nss_databases(machine: Machine) -> list[Path]:
    """The databases of the user's browsers."""
    if machine.platform != "linux":
        return []
    profiles = [path for pattern in _NSS_FIREFOX for path in sorted(machine.home.glob(pattern))]
    return [
        path for path in (*(machine.home / each for each in _NSS_CHROMIUM), *profiles) if (path / "cert9.db").is_file()
    ]


def _nss_add(copy: Path, database: Path) -> Iterator[Step]:
    if not _in_nss(copy, database):
        words = ("certutil", "-d", f"sql:{database}", "-A", "-t", "C,,", "-n", copy.stem, "-i", str(copy))
        yield Step(what=str(database), argv=words)


def _in_nss(copy: Path, database: Path) -> bool:
    words = ("certutil", "-d", f"sql:{database}", "-L", "-n", copy.stem)
    return _ended(Step(what=str(database), argv=words)).returncode == 0


def _run(step: Step) -> None:
    done = _ended(step)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise StoreError(f"`{step}` failed: {said[-1] if said else f'exit code {done.returncode}'}")


def _ended(step: Step) -> subprocess.CompletedProcess[str]:
    """What came of the command; it can ask nobody, such as for the password of a database."""
    try:
        return subprocess.run(
            step.argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except FileNotFoundError as error:
        package = " (Debian: libnss3-tools)" if step.argv[0] == "certutil" else ""
        raise StoreError(
            f"{step.argv[0]} is not installed, which changes {step.what}; install it{package} and run this again"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"`{step}` has not ended within {_PATIENCE:.0f} seconds") from error
