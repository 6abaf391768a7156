"""The TLS directory: what is read from it, what is refused, and what counts as a change."""

import json
import multiprocessing
import os
import tempfile
import threading
import time
from contextlib import ExitStack
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from fg_tls import CertificateError, NotProvisionedError, Store, StoreError
from fg_tls.clock import SYSTEM
from fg_tls.host.locks import FileLock
from fg_tls.host.store import Identity
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Member
from fg_tls.pki.keys import key_pem, new_key
from fg_tls.pki.names import parse_names, private_constraints

NOW = SYSTEM()
AUTHORITY = Authority.create("Household", private_constraints(), now=NOW)
OTHER = Authority.create("Other", private_constraints(), now=NOW)
LONGEST_WAIT = 30
PAUSE = 0.02  # seconds between two attempts to take a lock


def identity(authority=AUTHORITY):
    key = new_key()
    member = Member(cluster=authority.cluster, role="member", id="1f2e")
    leaf = authority.issue(key.public_key(), member=member, names=parse_names(["box.lan"]), now=NOW)
    return Identity(key=key, chain=(leaf,))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "tls")


@pytest.fixture
def filled(store):
    store.save_authorities((AUTHORITY.certificate,))
    store.save_identity(identity())
    return store


def write_config(store, text):
    store.directory.mkdir(exist_ok=True, mode=0o700)
    (store.directory / "config.yaml").write_text(text)


def test_an_empty_directory_has_nothing_and_trusts_nobody(store):
    assert (store.provisioned, store.enabled, store.authorities()) == (False, True, ())
    assert store.material().certificate_file is None
    for missing, command in ((store.identity, "forgather tls join"), (store.authority, "forgather tls init")):
        with pytest.raises(NotProvisionedError, match=command):
            missing()
    assert not store.directory.exists()


def test_what_is_saved_is_read_again(filled):
    assert filled.provisioned
    assert filled.identity().certificate.names == parse_names(["box.lan"])
    assert filled.material().certificate_file == filled.identity_path
    filled.save_authority(AUTHORITY)
    assert filled.authority().certificate == AUTHORITY.certificate
    assert filled.authorities() == filled.cluster_authorities() == (AUTHORITY.certificate,)


def test_trust_pem_holds_every_authority_once(filled):
    filled.write("trusted/other.crt", OTHER.certificate.pem)
    filled.write("trusted/same.crt", AUTHORITY.certificate.pem)
    filled.rebuild_trust()
    assert filled.trust_path.read_bytes() == AUTHORITY.certificate.pem + OTHER.certificate.pem


@pytest.mark.parametrize(
    "name",
    [
        "identity.pem",
        "authorities.pem",
        "trusted/other.crt",
        "revoked.crl",
        "config.yaml",
        "a.pem",
        "a.key",
        "extra.pem",
    ],
)
def test_the_stamp_notices_every_file_that_servers_use(filled, name):
    write_config(filled, "server_cert: a.pem\nserver_key: a.key\nca_cert: extra.pem\n")
    path = filled.directory / name
    path.parent.mkdir(exist_ok=True)
    original = path.read_bytes() if path.exists() else b"# first\n"
    path.write_bytes(original)
    seen = [filled.stamp()]
    path.unlink()
    seen.append(filled.stamp())
    path.write_bytes(original)
    seen.append(filled.stamp())
    before = path.stat()
    path.write_bytes(original[::-1] if name != "config.yaml" else original.replace(b"a.pem", b"b.pem"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # with the same size, inode and date
    seen.append(filled.stamp())
    assert all(one != other for one, other in pairwise(seen))
    assert filled.stamp() == filled.stamp()


def test_the_stamp_notices_an_imported_authority_that_goes(filled):
    filled.write("trusted/other.crt", OTHER.certificate.pem)
    before = filled.stamp()
    (filled.directory / "trusted" / "other.crt").unlink()
    assert filled.stamp() != before


def test_the_stamp_of_a_broken_configuration_is_no_error(filled):
    write_config(filled, "enabled: [")
    broken = filled.stamp()
    with pytest.raises(StoreError, match=r"config\.yaml:1 is not YAML"):
        filled.material()
    write_config(filled, "enabled: true")
    assert filled.stamp() != broken
    assert filled.material().certificate_file == filled.identity_path


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
@pytest.mark.parametrize("name", ["identity.pem", "ca/authority.pem"])
def test_a_private_key_that_others_may_read_is_refused_with_the_command(filled, name, mode):
    filled.save_authority(AUTHORITY)
    path = filled.directory / name
    path.chmod(mode)
    with pytest.raises(StoreError, match=f"open to other users; run: chmod 600 {path}"):
        filled.identity() if name == "identity.pem" else filled.authority()
    path.chmod(0o600)
    assert filled.identity().certificate and filled.authority().certificate


def test_a_directory_that_others_may_write_to_is_refused(filled):
    filled.directory.chmod(0o770)
    with pytest.raises(StoreError, match=f"run: chmod 700 {filled.directory}"):
        filled.material()
    with pytest.raises(StoreError, match="run: chmod 700"):
        filled.save_settings(enabled=False)


def test_a_link_in_place_of_the_key_is_refused_and_a_linked_directory_is_not(filled, tmp_path):
    linked = tmp_path / "linked"
    linked.symlink_to(filled.directory)
    assert Store(linked).material().certificate_file == linked / "identity.pem"
    filled.identity_path.rename(tmp_path / "elsewhere.pem")
    filled.identity_path.symlink_to(tmp_path / "elsewhere.pem")
    with pytest.raises(StoreError, match=r"symbolic link.*server_cert"):
        filled.identity()


@pytest.mark.parametrize("kind", ["directory", "pipe", "huge", "empty", "text"])
def test_what_is_no_certificate_is_one_sentence(filled, kind):
    path = filled.directory / "authorities.pem"
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes({"huge": bytes(2**20 + 1), "empty": b"", "text": b"hello"}[kind])
    with pytest.raises((StoreError, CertificateError), match=str(path)):
        filled.material()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
def test_what_cannot_be_read_is_not_left_open(filled):
    filled.identity_path.unlink()
    filled.identity_path.mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(StoreError, match=r"identity\.pem is not a file of certificates or keys"):
            filled.material()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "tls").write_text("x")
    with pytest.raises(StoreError, match="is not a directory"):
        Store(tmp_path / "tls").material()


def test_a_directory_of_another_user_is_refused(filled):
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(filled.directory, 65534, 65534)
    with pytest.raises(StoreError, match="belongs to nobody, and this program runs as root"):
        filled.material()
    with pytest.raises(StoreError, match="belongs to nobody"):
        filled.save_identity(identity())


@pytest.mark.parametrize("mode", [0o700, 0o711, 0o755])
def test_a_directory_that_cannot_be_read_or_written_is_one_sentence(mode):
    """Everything that a user without rights may do to a directory of root's ends in a StoreError."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        store = Store(Path(directory) / "tls")
        store.save_authorities((AUTHORITY.certificate,))
        store.save_identity(identity())
        store.directory.chmod(mode)
        child = multiprocessing.get_context("fork").Process(target=as_nobody, args=(Store(store.directory),))
        child.start()
        child.join(LONGEST_WAIT)
        assert child.exitcode == 0


def as_nobody(store):
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    for use in (store.material, store.client_material, store.identity, lambda: store.save_settings(enabled=False)):
        with pytest.raises(
            StoreError,
            match=rf"cannot (read|write to) {store.directory}.*: (Permission denied|Operation not permitted)",
        ):
            use()
    store.stamp()
    os._exit(0)


def test_key_and_certificate_of_different_hosts_are_refused(filled):
    filled.identity_path.write_bytes(key_pem(new_key()) + identity().certificate.pem)
    with pytest.raises(CertificateError, match="does not belong to its certificate"):
        filled.material()


# --- writers ---------------------------------------------------------------------------------------------------------


def test_two_writers_take_turns_and_neither_loses_a_value(store):
    def add(letter):
        own = Store(store.directory)
        for number in range(20):
            with own.writing():
                own.write_state(**{f"{letter}{number}": True, "count": own.read_state().get("count", 0) + 1})

    threads = [threading.Thread(target=add, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONGEST_WAIT)
        assert not thread.is_alive()
    assert store.read_state()["count"] == 80
    assert len(store.read_state()) == 81


def test_a_writer_that_does_not_end_is_named(tmp_path):
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    named = pytest.raises(StoreError, match=f"has been writing to {tmp_path}")
    with first.held(), named, second.held(longest_wait=0):
        pytest.fail("two hold the lock")
    with second.held(longest_wait=0), second.held(longest_wait=0), named, first.held(longest_wait=0):
        pytest.fail("two hold the lock")


def opened(path):
    """How often this process has the file open."""
    return sum(link.is_symlink() and link.readlink() == path for link in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="sees by /proc who waits")
def test_whoever_waited_for_a_lock_that_is_gone_waits_for_the_one_in_its_place(tmp_path):
    path, held = tmp_path / "lock", threading.Event()

    def wait():
        with FileLock(path).held(LONGEST_WAIT):
            held.set()

    with ExitStack() as newer:
        with FileLock(path).held():
            threading.Thread(target=wait, daemon=True).start()
            deadline = time.monotonic() + LONGEST_WAIT
            while opened(path) < 2 and time.monotonic() < deadline:
                time.sleep(0.001)
            path.unlink()
            newer.enter_context(FileLock(path).held(longest_wait=0))
        assert not held.wait(10 * PAUSE)
    assert held.wait(LONGEST_WAIT)


def test_a_lock_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "lock").mkdir()
    with (
        pytest.raises(StoreError, match=f"cannot write to {tmp_path}: Is a directory"),
        FileLock(tmp_path / "lock").held(),
    ):
        pytest.fail("a directory is no lock")


def test_state_is_merged_and_a_damaged_file_forgets_rather_than_fails(store):
    store.write_state(last_failure="no route", failing_since="x")
    store.write_state(last_failure=None)
    assert store.read_state() == {"failing_since": "x"}
    for text in ("", "[]", "{", "\xff"):
        (store.directory / "state.json").write_text(text, "latin-1")
        assert store.read_state() == {}
    store.write_state(renewed="y")
    assert json.loads((store.directory / "state.json").read_text()) == {"renewed": "y"}


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot (read|write)"):
        Store(tmp_path / "file" / "tls").save_identity(identity())


def test_an_identity_that_has_run_out_is_still_read_to_be_renewed(store):
    key = new_key()
    member = Member(cluster=AUTHORITY.cluster, role="member", id="1f2e")
    leaf = AUTHORITY.issue(
        key.public_key(), member=member, names=parse_names(["a.lan"]), now=NOW - timedelta(60), lifetime=timedelta(1)
    )
    store.save_identity(Identity(key=key, chain=(leaf,)))
    assert not store.identity().certificate.valid_at(NOW)
