"""Whatever is wrong, the command line says it in one sentence, ends with 2, and loses nothing."""

import os
import shutil
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from fg_config.command_line import main
from fg_tls import commands
from fg_tls.clock import SYSTEM
from fg_tls.host.provisioning import init
from fg_tls.host.store import Identity, Store
from fg_tls.pki.authority import Authority
from fg_tls.pki.certificates import Member
from fg_tls.pki.keys import key_pem, new_key
from fg_tls.pki.names import parse_names, private_constraints

LONGEST_WAIT = 60
KEY = "-----BEGIN EC PRIVATE KEY-----"


@pytest.fixture
def tls(capsys):
    def run(*words):
        try:
            code = main(commands, ["tls", *map(str, words)], prog="forgather")
        except SystemExit as error:
            code = error.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory):
    """The TLS directory of a host with an authority; tests work on copies."""
    directory = tmp_path_factory.mktemp("host") / "tls"
    init(Store(directory), names=parse_names(["box.lan"]))
    return directory


@pytest.fixture
def store(provisioned, config_directory):
    shutil.copytree(provisioned, config_directory / "tls")
    return Store()


def files_of(directory):
    """Every file and its content, save locks."""
    found = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    return {path: data for path, data in found.items() if path.suffix != ".lock" and path.name != ".lock"}


def refused(tls, words, *fragments, code=2):
    """Assert that the words are refused in one sentence, and that no file has changed."""
    directory = Store().directory
    before = files_of(directory)
    found, out, err = tls(*words)
    assert (found, out) == (code, ""), (words, out, err)
    assert len(err.splitlines()) == 1, err
    for fragment in ("forgather tls", *fragments):
        assert fragment in err, err
    assert KEY not in err
    after = {path: data for path, data in files_of(directory).items() if path.name != "state.json"}
    assert after == {path: data for path, data in before.items() if path.name != "state.json"}


# --- nothing here ----------------------------------------------------------------------------------------------------

NEEDS_SOMETHING = {
    "renew": ["renew"],
    "enable": ["enable"],
    "disable": ["disable"],
    "export": ["export-ca"],
    "mint": ["mint", "--hostname", "x.lan", "-o", "new"],
    "revoke": ["revoke", "x.lan"],
    "rotate": ["rotate-ca"],
    "join-token": ["join-token", "--no-wait"],
    "serve": ["serve", "--host", "127.0.0.1", "--port", "0"],
    "deploy": ["deploy", "box.lan", "--host", "127.0.0.1", "--port", "0"],
    "trust": ["trust-system", "--dry-run"],
}


@pytest.mark.parametrize("words", NEEDS_SOMETHING.values(), ids=NEEDS_SOMETHING)
def test_without_a_certificate(tls, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(tls, words, "init")
    assert not (tmp_path / "new").exists()


# --- files that are wrong --------------------------------------------------------------------------------------------


def _broken_config(store):
    (store.directory / "config.yaml").write_text("enabled: maybe\n")
    return "config.yaml:1", "'maybe'"


def _unknown_key(store):
    (store.directory / "config.yaml").write_text("enabled: true\nhostname: [box.lan]\n")
    return "config.yaml:2", "hostnames"


def _no_yaml(store):
    (store.directory / "config.yaml").write_text("enabled: [true\n")
    return ("config.yaml",)


def _readable_key(store):
    store.identity_path.chmod(0o644)
    return "chmod 600", "identity.pem"


def _key_of_another(store):
    certificate = store.identity().certificate
    store.identity_path.write_bytes(key_pem(new_key()) + certificate.pem)
    return ("identity.pem",)


def _cut_off(store):
    store.identity_path.write_bytes(store.identity_path.read_bytes()[:100])
    return ("identity.pem",)


def _no_authorities(store):
    (store.directory / "authorities.pem").write_text("hello")
    return ("authorities.pem",)


WRONG_FILES = [_broken_config, _unknown_key, _no_yaml, _readable_key, _key_of_another, _cut_off, _no_authorities]


@pytest.mark.parametrize("break_it", WRONG_FILES)
@pytest.mark.parametrize("words", [["status"], ["status", "--json"]], ids=["table", "json"])
def test_status_of_broken_files(tls, store, break_it, words):
    fragments = break_it(store)
    code, out, err = tls(*words)
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    for fragment in fragments:
        assert fragment in err


@pytest.mark.parametrize("break_it", [_readable_key, _key_of_another, _cut_off])
def test_a_broken_certificate_is_not_renewed_and_not_lost(tls, store, break_it):
    fragments = break_it(store)
    before = store.identity_path.read_bytes()
    code, out, err = tls("renew")
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert all(fragment in err for fragment in fragments)
    assert store.identity_path.read_bytes() == before


@pytest.fixture
def made_elsewhere(tmp_path):
    """Writes certificate and key of another authority: what `install` is given."""

    def made(*, age=timedelta(), other_key=False):
        authority = Authority.create("elsewhere", private_constraints(), now=SYSTEM() - timedelta(days=99))
        key = new_key()
        member = Member(cluster=authority.cluster, role="member", id="01")
        certificate = authority.issue(
            key.public_key(), member=member, names=parse_names(["box.lan"]), now=SYSTEM() - age
        )
        paths = {name: tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem")}
        paths["cert.pem"].write_bytes(certificate.pem)
        paths["key.pem"].touch(mode=0o600)
        paths["key.pem"].write_bytes(key_pem(new_key() if other_key else key))
        paths["ca.pem"].write_bytes(authority.certificate.pem)
        return ["install", "--cert", paths["cert.pem"], "--key", paths["key.pem"], "--ca", paths["ca.pem"]]

    return made


def install_refused(tls, words, *fragments):
    before = files_of(Store().directory)
    code, out, err = tls(*words)
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert all(fragment in err for fragment in fragments), err
    assert files_of(Store().directory) == before


def test_install_of_a_key_that_belongs_to_another_certificate(tls, made_elsewhere):
    install_refused(tls, made_elsewhere(other_key=True), "key.pem")


def test_install_of_a_certificate_that_ran_out(tls, made_elsewhere):
    install_refused(tls, made_elsewhere(age=timedelta(days=60)), "cert.pem")


def test_install_of_a_certificate_from_the_future(tls, made_elsewhere):
    install_refused(tls, made_elsewhere(age=-timedelta(days=1)), "cert.pem")


def test_install_of_files_that_are_not_there(tls, tmp_path):
    install_refused(tls, ["install", "--cert", tmp_path / "a", "--key", tmp_path / "b"], str(tmp_path / "a"))


def test_install_into_another_cluster(tls, store, made_elsewhere):
    install_refused(tls, made_elsewhere(), "another cluster", "forgather tls")


def test_import_of_what_is_no_authority(tls, store, tmp_path):
    (tmp_path / "text.crt").write_text("hello")
    install_refused(tls, ["import-ca", tmp_path / "text.crt"], "text.crt")
    (tmp_path / "leaf.crt").write_bytes(store.identity().certificate.pem)
    install_refused(tls, ["import-ca", tmp_path / "leaf.crt"], "leaf.crt")
    install_refused(tls, ["import-ca", tmp_path], str(tmp_path))


def test_mint_does_not_overwrite_a_key(tls, store, tmp_path):
    (tmp_path / "server.key").write_text("precious")
    install_refused(tls, ["mint", "--hostname", "x.lan", "-o", tmp_path], "server.key")
    assert (tmp_path / "server.key").read_text() == "precious"


def test_a_directory_that_cannot_be_written(tls, store, tmp_path):
    (tmp_path / "file").touch()
    install_refused(tls, ["export-ca", "-o", tmp_path / "none" / "ca.crt"], str(tmp_path / "none"))
    code, out, err = tls("mint", "--hostname", "x.lan", "-o", tmp_path / "file" / "below")
    assert (code, out, len(err.splitlines())) == (2, "", 1) and str(tmp_path / "file") in err


def test_a_port_in_use(tls, store):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words in (["serve"], ["join-token"], ["deploy", "box.lan"]):
            code, out, err = tls(*words, "--host", "127.0.0.1", "--port", port)
            assert (code, out, len(err.splitlines())) == (2, "", 1) and f"port {port}" in err, err


def test_no_ssh_on_this_machine(tls, store, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, err = tls("deploy", "box.lan", "--host", "127.0.0.1", "--port", "0")
    assert (code, out) == (2, "") and "no ssh on this machine" in err.splitlines()[-1]


@pytest.mark.parametrize("destination", ["-oProxyCommand=touch /tmp/x", "--", "two words"])
def test_a_destination_that_ssh_would_read_otherwise(tls, store, destination):
    assert tls("deploy", destination)[0] == 2
    assert tls("deploy", "--", destination)[0] == 2


def test_an_expired_certificate_is_named_and_renewed_here(tls, store):
    authority, own = store.authority(), store.identity()
    member = own.certificate.member
    old = authority.issue(
        own.key.public_key(), member=member, names=own.certificate.names, now=SYSTEM() - timedelta(days=40)
    )
    store.save_identity(Identity(key=own.key, chain=(old,)))
    code, _, err = tls("status")
    assert code == 1 and "ran out" in err and "`forgather tls renew`" in err
    assert tls("renew")[0] == 0
    assert tls("status")[0] == 0


# --- names, numbers and words ----------------------------------------------------------------------------------------

WRONG_WORDS = {
    "no host name": (["init", "--hostname", "under_score!"], "under_score!"),
    "address as name": (["init", "--hostname", "10.0.0.5"], "10.0.0.5"),
    "name as address": (["init", "--ip", "box.lan"], "box.lan"),
    "a public name": (["mint", "--hostname", "example.com", "-o", "new"], "example.com"),
    "nothing to mint for": (["mint", "-o", "new"], "--hostname"),
    "no such member": (["revoke", "nobody.lan"], "nobody.lan"),
    "no server": (["doctor", "box.lan"], "HOST:PORT"),
    "no such file of a token": (["join", "--token-file", "none"], "none"),
    "no such token": (["token", "remove", "--service", "inference", "bob"], "bob"),
    "no name of a token": (["token", "add", "--service", "inference", "b b"], "'b b'"),
}


@pytest.mark.parametrize(("words", "fragment"), WRONG_WORDS.values(), ids=WRONG_WORDS)
def test_wrong_words(tls, store, words, fragment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = tls(*words)
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert fragment in err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("words", [["add", "bob"], ["list"], ["remove", "bob"]], ids=lambda words: words[0])
def test_a_directory_of_others_is_no_service_and_is_not_closed(tls, tmp_path, words):
    (tmp_path / "shared").mkdir(mode=0o755)
    for service in (str(tmp_path / "shared"), "../shared"):
        code, out, err = tls("token", *words, "--service", service)
        assert (code, out, len(err.splitlines())) == (2, "", 1) and f"'{service}' cannot name a service" in err
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o755 and not list((tmp_path / "shared").iterdir())


def test_a_misspelt_action_has_a_suggestion(tls):
    code, _, err = tls("stauts")
    assert code == 2 and "did you mean 'status'" in err


def test_a_span_of_time_that_is_none(tls):
    code, _, err = tls("token", "add", "--service", "inference", "bob", "--expires", "soon")
    assert code == 2 and "'soon' is no span of time" in err


# --- the world around ------------------------------------------------------------------------------------------------


def run(*words, before=(), **environment):
    """The real command line in a process of its own."""
    done = subprocess.run(
        [*before, sys.executable, "-m", "fg_tls", "tls", *map(str, words)],
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=LONGEST_WAIT,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def _like_a_user():
    """Words before a command that keep root from reading and writing whatever it likes."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root may read every file, and there is no setpriv to give that up")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.mark.parametrize(
    "words", [["status"], ["renew"], ["init"], ["export-ca"], ["enable"]], ids=lambda each: each[0]
)
def test_a_directory_that_permissions_close(store, words):
    before = files_of(store.directory)
    store.directory.chmod(0o000)
    try:
        code, out, err = run(*words, before=_like_a_user())
    finally:
        store.directory.chmod(0o700)
    assert files_of(store.directory) == before
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert str(store.directory) in err


@pytest.mark.parametrize("by", ["-1d", "+1d"])
def test_a_clock_that_is_off_by_a_day_is_named(store, start, by):
    libraries = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), *Path("/usr/lib/faketime").glob("*.so.1")]
    if not libraries:
        pytest.skip("libfaketime is not installed")
    port = start(tls=store).serving.port
    code, out, _ = run("doctor", f"localhost:{port}", LD_PRELOAD=str(libraries[0]), FAKETIME=by)
    assert code == 1 and "clock of this host is 1 day" in out, out


def test_the_doctor_finds_nothing_where_nothing_is(tls):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    code, out, err = tls("doctor", f"127.0.0.1:{port}")
    assert (code, err) == (1, "") and f"nothing listens on port {port}" in out
