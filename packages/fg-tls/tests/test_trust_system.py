import datetime
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from fg_tls.clock import SYSTEM
from fg_tls.errors import CertificateError, NotProvisionedError, StoreError
from fg_tls.host.store import Store
from fg_tls.host.trust_system import Machine, carry_out, plan
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import of_x509
from fg_tls.pki.keys import new_key
from fg_tls.pki.names import private_constraints

LONGEST_WAIT = 60
needs_update = pytest.mark.skipif(shutil.which("update-ca-certificates") is None, reason="a program of Debian")


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "tls")
    store.save_authorities((Authority.create("home", private_constraints(), now=SYSTEM()).certificate,))
    return store


@pytest.fixture
def machine(tmp_path):
    """A machine without any store."""

    def made(*directories, is_root=True, platform="linux"):
        root, home = tmp_path / "root", tmp_path / "home"
        for each in (root, home, *(root / name for name in directories)):
            each.mkdir(parents=True, exist_ok=True)
        return Machine(root=root, home=home, platform=platform, is_root=is_root)

    return made


def nss_database(path):
    if shutil.which("certutil") is None:
        pytest.skip("certutil is not installed")
    path.mkdir(parents=True)
    subprocess.run(["certutil", "-d", f"sql:{path}", "-N", "--empty-password"], check=True, timeout=LONGEST_WAIT)
    return path


def trusted_in(database):
    """Nickname → trust flags, in the words of certutil."""
    words = ["certutil", "-d", f"sql:{database}", "-L"]
    lines = subprocess.run(words, check=True, capture_output=True, text=True, timeout=LONGEST_WAIT).stdout.splitlines()
    return {words[0]: words[-1] for line in lines[3:] if len(words := line.split()) == 2}


@pytest.fixture
def browsers(machine):
    """A machine with Chromium and two profiles of Firefox, all of them of a user without privileges."""
    made = machine(is_root=False)
    places = (".pki/nssdb", ".mozilla/firefox/a.default", "snap/firefox/common/.mozilla/firefox/b.default")
    return made, [nss_database(made.home / place) for place in places]


def test_browsers_of_the_user_trust_us_and_forget_us(store, browsers):
    machine, databases = browsers
    carry_out(store, plan(store, machine))
    name = f"forgather-{store.authorities()[0].key_hash[:12]}"
    assert [trusted_in(each) for each in databases] == [{name: "C,,"}] * 3
    assert plan(store, machine) == []  # nothing is left to do
    carry_out(store, plan(store, machine, undo=True), undo=True)
    assert [trusted_in(each) for each in databases] == [{}] * 3
    assert not (store.directory / "trust-system").exists()


def test_what_was_trusted_before_the_authority_changed_is_taken_back_too(store, browsers):
    machine, databases = browsers
    carry_out(store, plan(store, machine))
    store.save_authorities((Authority.create("next", private_constraints(), now=SYSTEM()).certificate,))
    carry_out(store, plan(store, machine))
    assert len(trusted_in(databases[0])) == 2
    carry_out(store, plan(store, machine, undo=True), undo=True)
    assert trusted_in(databases[0]) == {}


@pytest.mark.parametrize(
    ("directory", "refresh"),
    [
        ("usr/local/share/ca-certificates", "update-ca-certificates"),
        ("etc/pki/ca-trust/source/anchors", "update-ca-trust extract"),
        ("etc/ca-certificates/trust-source/anchors", "trust extract-compat"),
        ("usr/share/pki/trust/anchors", "update-ca-certificates"),
    ],
)
def test_each_system_has_its_place_and_its_command(store, machine, directory, refresh):
    made = machine(directory)
    install, update = plan(store, made)
    assert str(install) == f"install -m 0644 {install.argv[3]} {made.root / directory / Path(install.argv[3]).name}"
    assert str(update) == f"chroot {made.root} {refresh}"


def test_a_user_without_privileges_is_told_the_sudo_commands_and_nothing_is_run(store, machine):
    made = machine("usr/local/share/ca-certificates", is_root=False)
    steps = plan(store, made)
    assert all(str(step).startswith("sudo ") for step in steps)
    carry_out(store, steps)
    assert list((made.root / "usr/local/share/ca-certificates").iterdir()) == []
    assert Path(steps[0].argv[3]).read_bytes() == store.authorities()[0].pem  # what the sudo command copies is there


@needs_update
def test_the_update_command_of_debian_takes_our_file(store, machine, tmp_path):
    """The real program, on a scratch list: our certificate ends up in the bundle that programs read."""
    made = machine("usr/local/share/ca-certificates")
    install = plan(store, made)[0]
    carry_out(store, [install])
    anchors, result, empty = made.root / "usr/local/share/ca-certificates", tmp_path / "certs", tmp_path / "empty"
    for each in (result, empty):
        each.mkdir()
    (tmp_path / "conf").touch()
    options = ("--localcertsdir", anchors, "--etccertsdir", result, "--certsconf", tmp_path / "conf")
    words = ["update-ca-certificates", *options, "--certsdir", empty, "--hooksdir", empty]
    subprocess.run(words, check=True, timeout=LONGEST_WAIT, capture_output=True)
    assert (result / "ca-certificates.crt").read_bytes().strip() == store.authorities()[0].pem.strip()


def test_undo_of_the_system_store_removes_the_file(store, machine):
    made = machine("usr/local/share/ca-certificates")
    carry_out(store, plan(store, made)[:1])
    remove, update = plan(store, made, undo=True)
    carry_out(store, [remove])
    assert list((made.root / "usr/local/share/ca-certificates").iterdir()) == []
    assert "update-ca-certificates" in update.argv


def test_undo_keeps_its_record_while_a_sudo_command_is_left(store, machine):
    carry_out(store, plan(store, machine("usr/local/share/ca-certificates"))[:1])
    user = machine("usr/local/share/ca-certificates", is_root=False)
    carry_out(store, steps := plan(store, user, undo=True), undo=True)
    assert (
        [step.argv[0] for step in plan(store, user, undo=True)] == [step.argv[0] for step in steps] == ["rm", "chroot"]
    )


def test_the_keychain_of_macos(store, machine):
    (step,) = plan(store, machine(platform="darwin", is_root=False))
    assert str(step).startswith("sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ")


def test_nothing_is_written_by_looking(store, browsers):
    before = sorted(store.directory.rglob("*"))
    plan(store, browsers[0])
    plan(store, browsers[0], undo=True)
    assert sorted(store.directory.rglob("*")) == before


def test_undo_without_anything_to_undo(store, machine):
    assert plan(store, machine(), undo=True) == []


def test_an_authority_without_constraints_is_refused(store, browsers):
    store.save_authorities((_unlimited(),))
    with pytest.raises(CertificateError, match=r"'boundless' has no name constraints.*every web site"):
        plan(store, browsers[0])


def _unlimited():
    key, name = new_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "boundless")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.not_valid_before(SYSTEM()).not_valid_after(SYSTEM() + datetime.timedelta(days=1))
    return of_x509(builder.sign(key, hashes.SHA256()))


def test_no_authority(tmp_path, browsers):
    with pytest.raises(NotProvisionedError, match="forgather tls init"):
        plan(Store(tmp_path / "empty"), browsers[0])


def test_a_machine_without_any_store(store, machine):
    with pytest.raises(StoreError, match=r"trust\.pem"):
        plan(store, machine())


def test_a_program_that_fails_is_quoted(store, browsers):
    machine, databases = browsers
    steps = plan(store, machine)
    (databases[0] / "cert9.db").write_bytes(b"not a database")
    with pytest.raises(StoreError, match="certutil"):
        carry_out(store, steps)


def test_a_program_that_is_missing_is_named(store, browsers, monkeypatch):
    steps = plan(store, browsers[0])
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(StoreError, match="certutil is not installed"):
        carry_out(store, steps)


@pytest.mark.parametrize("undo", [False, True])
def test_browsers_are_not_passed_over_where_certutil_is_missing(store, browsers, monkeypatch, undo):
    machine, databases = browsers
    carry_out(store, plan(store, machine))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(StoreError, match=rf"certutil is not installed.*{databases[0]}; install it .*libnss3-tools"):
        plan(store, machine, undo=undo)
