"""SIGKILL before every single change of a file, and what others could read of it at that moment.

Python announces each file operation to audit hooks before it happens. A forked child counts those below the TLS
directory, looks at every file that exists so far, and kills itself at the n-th one, for every n until it gets through.
"""

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from fg_tls import Store
from fg_tls.clock import SYSTEM
from fg_tls.host.provisioning import clean, import_authority, init, install, mint, set_enabled, status
from fg_tls.host.store import Identity
from fg_tls.pki.authority import Authority
from fg_tls.pki.keys import new_key
from fg_tls.pki.names import parse_names, private_constraints

FORK = multiprocessing.get_context("fork")
LONGEST_WAIT = 60
MOST_WRITES = 500
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.symlink", "os.utime"}
PUBLIC = {"authorities.pem", "trust.pem", "config.yaml", "state.json", "revoked.crl", "ca.crt", "server.crt"}
NOBODY = 65534


def killed_at(number, root, action, umask=0o077, uid=None) -> bool:
    """Whether `action` was killed before its n-th change below `root`; False when it got through."""
    child = FORK.Process(target=_doomed, args=(number, str(root), action, umask, uid))
    child.start()
    child.join(LONGEST_WAIT)
    assert child.exitcode in (0, -signal.SIGKILL), f"the child ended with {child.exitcode}"
    return child.exitcode != 0


def _doomed(number, root, action, umask, uid):
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    os.umask(umask)
    count, looking = 0, False

    def watch(event, arguments):
        nonlocal count, looking
        if looking or not _changes(event, arguments, root):
            return
        looking = True
        open_to_others = _open_to_others(Path(root))
        looking = False
        if open_to_others:
            os.write(2, f"open to others before {event}: {open_to_others}\n".encode())
            os._exit(1)
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    action()
    assert not _open_to_others(Path(root))
    os._exit(0)


def _changes(event, arguments, root) -> bool:
    if event == "open":
        writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return bool(writes) and str(arguments[0]).startswith(root)
    if event == "os.chmod":  # of an open file too
        return isinstance(arguments[0], int) or str(arguments[0]).startswith(root)
    return event in CHANGES and str(arguments[0]).startswith(root)


def _open_to_others(root):
    """Private files that others may read, and directories that they may look into."""
    return [
        (str(path), oct(path.lstat().st_mode))
        for path in root.rglob("*")
        if path.lstat().st_mode & 0o077 and not _is_public(path)
    ]


def _is_public(path: Path) -> bool:
    # A temporary file is called .NAME.XXXX.tmp.
    name = path.name[1:].rsplit(".", 2)[0] if path.name.endswith(".tmp") else path.name
    return name in PUBLIC or path.parent.name == "trusted"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A host with an authority, an imported one, and a minted certificate beside it."""
    directory = tmp_path_factory.mktemp("template")
    store = Store(directory / "tls")
    init(store, name="Household")
    mint(store, parse_names(["wopr.lan"]), directory / "minted")
    other = Authority.create("Other", private_constraints(), now=SYSTEM()).certificate
    (directory / "ca.crt").write_bytes(other.pem)
    return directory


def facts(store):
    """What servers and commands make of the directory; raises when a file of it cannot be used."""
    store.material()
    certificate = store.identity().certificate if store.provisioned else None
    if certificate is not None:
        assert any(certificate.issued_by(each) for each in store.authorities())
        assert status(store).member == certificate.member.id
    return certificate, store.enabled, store.imported_authorities()


def renew(store):
    authority, key = store.authority(), new_key()
    before = store.identity().certificate
    after = authority.issue(key.public_key(), member=before.member, names=before.names, now=SYSTEM())
    store.save_identity(Identity(key=key, chain=(after,)))


CASES = {
    "init": lambda root: init(Store(root / "fresh"), name="Fresh"),
    "init --force": lambda root: init(Store(root / "tls"), force=True),
    "renew": lambda root: renew(Store(root / "tls")),
    "import-ca": lambda root: import_authority(Store(root / "tls"), root / "ca.crt"),
    "disable": lambda root: set_enabled(Store(root / "tls"), False),
    "install": lambda root: install(
        Store(root / "fresh"), *(root / "minted" / name for name in ("server.crt", "server.key", "ca.crt"))
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_kill_at_any_write_leaves_the_old_state_or_the_new_one(name, template, tmp_path):
    action = CASES[name]
    for number in range(1, MOST_WRITES):
        root = tmp_path / str(number)
        shutil.copytree(template, root)
        store = Store(root / ("fresh" if name in ("init", "install") else "tls"))
        old = facts(store)
        killed = killed_at(number, root, lambda root=root: action(root))
        found = facts(Store(store.directory))
        if not killed:
            assert number > 5
            assert found != old
            return
        if found == old:
            action(root)  # the same command can be run again
            assert facts(Store(store.directory)) != old
        else:
            assert found[0] is not None
        if name == "init --force":
            assert not list(root.glob(".tls.backup-*"))
            assert all(Store(each).identity().certificate == old[0] for each in root.glob("tls.backup-*"))
        assert clean(Store(store.directory)) == ()
        assert not store.directory.exists()  # nor what was being written
        shutil.rmtree(root)
    pytest.fail("it never got through")


def test_clean_can_be_killed_and_run_again(template, tmp_path):
    for number in range(1, MOST_WRITES):
        root = tmp_path / str(number)
        shutil.copytree(template, root)
        store = Store(root / "tls")
        killed = killed_at(number, root, lambda store=store: clean(store))
        assert clean(store) == ()
        assert not store.directory.exists()
        if not killed:
            return
    pytest.fail("it never got through")


@pytest.mark.parametrize("umask", [0o000, 0o777])
@pytest.mark.parametrize("name", [*CASES, "mint"])
def test_private_files_are_private_from_the_first_moment_whatever_the_umask(name, umask, template):
    """As a user whom modes bind, where the tests run as root."""
    uid = NOBODY if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "home"
        shutil.copytree(template, root)
        for path in (Path(directory), *Path(directory).rglob("*")) if uid is not None else ():
            os.chown(path, NOBODY, NOBODY)
        mint_here = {"mint": lambda root: mint(Store(root / "tls"), parse_names(["a.lan"]), root / "new")}
        action = (CASES | mint_here)[name]
        assert not killed_at(0, root, lambda: action(root), umask=umask, uid=uid)
        store = Store(root / ("fresh" if name in ("init", "install") else "tls"))
        assert {path.stat().st_mode & 0o777 for path in (store.directory, *store.directory.glob("c*/"))} == {0o700}
        assert store.identity_path.stat().st_mode & 0o777 == 0o600
        assert store.trust_path.stat().st_mode & 0o777 == 0o644


def test_parents_of_the_directory_are_private_too(tmp_path):
    root = tmp_path / "root"
    root.mkdir(mode=0o700)
    assert not killed_at(0, root, lambda: init(Store(root / "a" / "b" / "tls")), umask=0)
    assert {path.stat().st_mode & 0o777 for path in (root / "a", root / "a" / "b")} == {0o700}
