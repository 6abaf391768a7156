import json
import os
import pty
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from fg_config.command_line import main
from fg_tls import commands
from fg_tls.clock import SYSTEM
from fg_tls.endpoints import service_directory
from fg_tls.host.founding import init
from fg_tls.host.store import Store
from fg_tls.issuing.books import Books
from fg_tls.issuing.issuer import Issuer
from fg_tls.issuing.join_token import JoinToken
from fg_tls.pki import revocation
from fg_tls.pki.certificates import read_pem
from fg_tls.pki.names import Names, parse_names

LONGEST_WAIT = 60
ENDPOINT = "127.0.0.1:9"  # nothing listens on the discard port


@pytest.fixture
def tls(capsys):
    """Runs `forgather tls …` in this process: (exit code, output, messages)."""

    def run(*words):
        try:
            code = main(commands, ["tls", *map(str, words)], prog="forgather")
        except SystemExit as error:  # how argparse ends
            code = error.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def ok(tls):
    """The same for what must work: its output."""

    def run(*words):
        code, out, err = tls(*words)
        assert code == 0, (words, out, err)
        return out

    return run


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_help_needs_no_library_of_servers_and_certificates():
    heavy = ["cryptography", "uvicorn", "starlette", "httpx", "asyncio", "ssl"]
    script = f"""
import sys
from fg_config.command_line import main
from fg_tls import commands
try:
    main(commands, ["tls", "--help"])
finally:
    sys.exit(",".join(each for each in {heavy} if each in sys.modules) or 0)
"""
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST_WAIT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for action in commands._ACTIONS:
        assert re.search(rf"^    {action}\b", done.stdout, re.MULTILINE), action


@pytest.mark.parametrize("action", commands._ACTIONS)
def test_every_action_explains_itself(ok, action):
    assert ok(action, "--help").startswith(f"usage: forgather tls {action}")


def test_init_gives_this_host_a_certificate_with_the_names_asked_for(ok):
    out = ok("init", "--hostname", "box.lan", "--ip", "10.0.0.7", "--ca-name", "My house")
    assert "My house, on this host" in out and "box.lan" in out
    certificate = Store().identity().certificate
    assert {"box.lan", "10.0.0.7", "localhost", "127.0.0.1"} <= set(str(certificate.names).split(", "))
    assert certificate.issuer == "My house"


def test_init_twice_changes_nothing(ok, tls):
    ok("init")
    before = Store().identity_path.read_bytes()
    code, out, err = tls("init")
    assert (code, out) == (2, "") and "--force" in err
    assert Store().identity_path.read_bytes() == before
    ok("init", "--force")
    assert Store().identity_path.read_bytes() != before


def test_status_before_and_after(ok):
    assert "`forgather tls init`" in ok("status")
    assert json.loads(ok("status", "--json"))["provisioned"] is False
    ok("init")
    found = json.loads(ok("status", "--json"))
    assert found["provisioned"] and found["enabled"] and found["authority_here"] and found["warnings"] == []
    assert found["member"] in ok("status")


def test_status_says_by_its_exit_code_that_something_needs_a_person(ok, tls):
    ok("init")
    ok("disable")
    code, out, err = tls("status")
    assert code == 1 and "disabled" in out and "`forgather tls enable`" in err
    assert tls("status", "--json")[0] == 1
    ok("enable")
    ok("status")


def test_renew_keeps_names_and_adds_some(ok, tls):
    ok("init", "--hostname", "box.lan")
    before = Store().identity().certificate
    assert "extra.lan" in ok("renew", "--add-hostname", "extra.lan", "--add-ip", "10.1.1.1")
    after = Store().identity().certificate
    assert after.serial != before.serial
    assert {"box.lan", "extra.lan", "10.1.1.1"} <= set(str(after.names).split(", "))


def test_renew_tells_what_the_authority_did_not_agree_to(ok, tls):
    ok("init")
    code, out, err = tls("renew", "--add-hostname", "example.com")
    assert code in (1, 2) and "example.com" in err and "example.com" not in out


def test_minted_files_can_be_installed_elsewhere(ok, tls, tmp_path, monkeypatch):
    ok("init")
    ok("mint", "--hostname", "far.lan", "--role", "submitter", "-o", tmp_path / "far")
    assert (mode(tmp_path / "far"), mode(tmp_path / "far" / "server.key")) == (0o700, 0o600)
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "there"))
    files = [tmp_path / "far" / name for name in ("server.crt", "server.key", "ca.crt")]
    assert "far.lan" in ok("install", "--cert", files[0], "--key", files[1], "--ca", files[2])
    found = json.loads(tls("status", "--json")[1])
    assert (found["provisioned"], found["role"], found["names"]) == (True, "submitter", ["far.lan"])
    assert "renewal      by whoever made it" in ok("status").splitlines()


def test_an_authority_goes_from_host_to_host_as_a_file(ok, tmp_path, monkeypatch):
    ok("init", "--ca-name", "Office")
    assert read_pem(ok("export-ca").encode(), "output") == list(Store().cluster_authorities())
    ok("export-ca", "-o", tmp_path / "office.crt")
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "there"))
    out = ok("import-ca", tmp_path / "office.crt", "--name", "work")
    authority = Store().authorities()[0]
    assert authority.common_name == "Office" and authority.fingerprint in out
    assert [path.name for path in Store().imported_authorities()] == ["work.crt"]


@pytest.mark.parametrize("flags", [(), ("--yes",)])
def test_clean_where_there_is_nothing(ok, flags):
    assert ok("clean", *flags) == f"there is nothing to remove: {Store().directory} does not exist\n"


def test_clean_wants_to_be_sure(ok, tls):
    ok("init")
    code, _, err = tls("clean")
    assert code == 2 and "no host can renew" in err and "clean --yes" in err
    assert Store().provisioned
    ok("clean", "--yes")
    assert not Store().provisioned


def test_a_token_is_shown_once_and_never_again(ok, tls, config_directory):
    code, token, err = tls("token", "add", "--service", "inference", "bob", "--scope", "read", "--expires", "30d")
    assert code == 0 and len(token.strip()) == 64 and "cannot be shown again" in err
    listed = ok("token", "list", "--service", "inference")
    assert listed.startswith("bob  read, until ")
    entry = json.loads(ok("token", "list", "--service", "inference", "--json"))[0]
    assert (entry["name"], entry["scopes"]) == ("bob", ["read"])
    kept = b"".join(path.read_bytes() for path in config_directory.rglob("*") if path.is_file())
    assert token.strip().encode() not in kept and b"bob" in kept
    ok("token", "remove", "--service", "inference", "bob")
    assert ok("token", "list", "--service", "inference") == ""


def test_a_token_for_a_service_that_nobody_has_run_is_made_with_a_warning(tls):
    warning = "warning: no server of a service 'inferense' has ever run here; check the name"
    code, token, err = tls("token", "add", "--service", "inferense", "bob")
    assert code == 0 and len(token.strip()) == 64 and err.splitlines()[1:] == [warning]


def test_a_token_for_a_service_that_has_run_is_made_without_one(tls):
    service_directory("inference").mkdir(parents=True)
    assert "warning" not in tls("token", "add", "--service", "inference", "bob")[2]


def test_revoke_by_host_name(ok):
    ok("init")
    ok("mint", "--hostname", "far.lan", "-o", Store().directory / "far")
    certificate = read_pem((Store().directory / "far" / "server.crt").read_bytes(), "file")[0]
    said = ok("revoke", "far.lan")
    assert certificate.member.id in said and "no issuer runs here, so that nobody hears of it" in said
    assert certificate in revocation.read(Store())


def test_revoking_while_an_issuer_runs_needs_nothing_more(ok):
    ok("init")
    ok("mint", "--hostname", "far.lan", "-o", Store().directory / "far")
    with started("serve", "--host", "127.0.0.1", "--port", free_port()) as issuer:
        assert issuer.stderr.readline()
        assert "no issuer" not in ok("revoke", "far.lan")


def test_the_host_of_the_authority_does_not_revoke_itself(ok, tls):
    ok("init")
    code, _, err = tls("revoke", Store().identity().certificate.member.id)
    assert code == 2 and "rotate-ca" in err


def test_an_authority_of_one_host_is_replaced_at_once(ok):
    ok("init", "--ca-name", "first")
    before = Store().authority().certificate
    assert "has replaced the old one" in ok("rotate-ca")
    assert Store().authority().certificate != before
    assert Store().identity().certificate.issuer == Store().authority().certificate.common_name
    assert before not in Store().authorities()


def test_replacing_the_authority_waits_for_members_and_names_them(ok, tls):
    ok("init")
    minted(ok, "far.lan", called=True)
    assert "not being replaced" in ok("rotate-ca", "--status")
    code, out, err = tls("rotate-ca")
    assert code == 0 and "far.lan" in out and "again" in err
    assert "--force leaves behind who has not been seen for 30 minutes" in err
    assert len(Store().cluster_authorities()) == 2
    assert ok("rotate-ca", "--status") == out


def test_replacing_the_authority_names_what_must_be_minted_anew(ok, tls):
    ok("init")
    minted(ok, "far.lan", called=False)
    code, out, err = tls("rotate-ca")
    assert code == 0 and "has replaced the old one" in out
    assert "mint anew" in err and "far.lan" in err


def minted(ok, name, *, called):
    """Mints a certificate, with which a host has `called` the issuer."""
    directory = Store().directory.with_name(name)
    ok("mint", "--hostname", name, "-o", directory)
    if called:
        (certificate,) = read_pem((directory / "server.crt").read_bytes(), "server.crt")
        Books(Store()).seen(certificate, now=SYSTEM())


def test_trust_system_shows_its_commands_before_it_runs_any(ok, tmp_path, monkeypatch):
    if shutil.which("certutil") is None:
        pytest.skip("certutil is not installed")
    monkeypatch.setenv("HOME", str(tmp_path))
    database = tmp_path / ".pki" / "nssdb"
    database.mkdir(parents=True)
    subprocess.run(["certutil", "-d", f"sql:{database}", "-N", "--empty-password"], check=True, timeout=LONGEST_WAIT)
    ok("init")
    out = ok("trust-system", "--dry-run")
    assert f"certutil -d sql:{database} -A -t C,, " in out
    assert not (Store().directory / "trust-system").exists()
    assert ok("trust-system", "--undo", "--dry-run") == ""
    assert ok("trust-system", "--undo") == ""


def test_cleaning_leaves_what_browsers_still_trust_to_be_taken_back(ok, tls):
    ok("init")
    kept = Store().directory / "trust-system"
    kept.mkdir()
    (kept / "forgather-0123.crt").touch()
    (Store().directory / "notes.txt").touch()
    code, _, said = tls("clean", "--yes")
    assert code == 0 and "run `forgather tls trust-system --undo`" in said
    assert [line for line in said.splitlines() if "not ours" in line] == [
        f"left, because it is not ours: {Store().directory / 'notes.txt'}"
    ]


def test_the_doctor_for_programs(ok, tls):
    ok("init")
    code, out, err = tls("doctor", f"127.0.0.1:{free_port()}", "--json")
    assert (code, json.loads(out)["cause"], err) == (1, "nothing-listens", "")


# --- join tokens -----------------------------------------------------------------------------------------------------


def new_token():
    return Issuer(Store()).create_token(endpoints=[ENDPOINT]).encode()


def token_of_another_cluster(directory):
    store = Store(directory / "elsewhere")
    init(store)
    return Issuer(store).create_token(endpoints=[ENDPOINT]).encode()


def join_in_a_process(tmp_path, *words, text="", **environment):
    environment = os.environ | {"FORGATHER_CONFIG_DIR": str(tmp_path / "joiner")} | environment
    return subprocess.run(
        [sys.executable, "-m", "fg_tls", "tls", "join", *words],
        input=text,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONGEST_WAIT,
        check=False,
    )


@pytest.mark.parametrize("way", ["stdin", "file", "dash", "environment"])
def test_a_join_token_is_taken_from_where_it_is_private(ok, tmp_path, way):
    """Nobody is at the endpoint of the token, which is known as soon as the token was read."""
    ok("init")
    token = new_token()
    (tmp_path / "token").write_text(token + "\n")
    done = {
        "stdin": lambda: join_in_a_process(tmp_path, text=token + "\n"),
        "file": lambda: join_in_a_process(tmp_path, "--token-file", str(tmp_path / "token")),
        "dash": lambda: join_in_a_process(tmp_path, "--token-file", "-", text=token),
        "environment": lambda: join_in_a_process(tmp_path, FORGATHER_JOIN=token),
    }[way]()
    assert done.returncode == 2 and ENDPOINT in done.stderr.splitlines()[-1]
    assert token not in done.stderr + done.stdout


@pytest.mark.parametrize("words", [["{}"], ["--token", "{}"], ["--token-file={}"], ["--token-file", "{}"]])
def test_a_join_token_on_the_command_line_is_refused_and_not_repeated(ok, tls, words):
    ok("init")
    token = new_token()
    code, out, err = tls("join", *(word.format(token) for word in words))
    assert code == 2 and "--token-file FILE" in err and "everybody on this machine" in err
    assert token not in out + err and token[10:40] not in out + err


def test_without_a_token_nothing_is_asked(tmp_path):
    done = join_in_a_process(tmp_path)
    assert done.returncode == 2 and "no join token" in done.stderr and "Traceback" not in done.stderr


def test_an_end_of_input_in_place_of_a_join_token_is_one_sentence():
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "fg_tls", "tls", "join"]
    with subprocess.Popen(command, stdin=end, stderr=subprocess.PIPE, text=True, start_new_session=True) as joining:
        deadline = time.monotonic() + LONGEST_WAIT
        while joining.poll() is None and time.monotonic() < deadline:
            os.write(terminal, b"\x04")  # once more, as what is typed before the question is thrown away
            time.sleep(0.05)
        joining.kill()
        said = joining.stderr.read()
    os.close(terminal)
    os.close(end)
    assert joining.returncode == 2 and "there is no join token in the input" in said and "Traceback" not in said


def test_a_host_of_a_cluster_does_not_join_by_accident(ok, tls, tmp_path, monkeypatch):
    ok("init")
    (tmp_path / "token").write_text(new_token())
    code, _, err = tls("join", "--token-file", tmp_path / "token")
    assert code == 2 and "join --force" in err
    monkeypatch.setenv("FORGATHER_JOIN", token_of_another_cluster(tmp_path))
    code, _, err = tls("join")
    assert code == 2 and "join --force" in err


def test_a_container_that_is_started_again_has_joined(ok, tmp_path):
    ok("init")
    with started("serve", "--host", "127.0.0.1", "--port", port := free_port()) as issuer:
        assert issuer.stderr.readline()
        token = Issuer(Store()).create_token(endpoints=[f"127.0.0.1:{port}"]).encode()
        first = join_in_a_process(tmp_path, "--hostname", "far.lan", FORGATHER_JOIN=token)
    assert first.returncode == 0, first
    identity = tmp_path / "joiner" / "tls" / "identity.pem"
    before = identity.read_bytes()
    again = join_in_a_process(tmp_path, "--hostname", "far.lan", FORGATHER_JOIN=token)
    assert (again.returncode, again.stdout) == (0, "this host has joined that cluster already\n")
    assert identity.read_bytes() == before


def test_join_says_which_of_the_given_names_the_host_has_not_got(ok, tmp_path):
    ok("init")
    with started("serve", "--host", "127.0.0.1", "--port", port := free_port()) as issuer:
        assert issuer.stderr.readline()
        token = Issuer(Store()).create_token(endpoints=[f"127.0.0.1:{port}"]).encode()
        done = join_in_a_process(tmp_path, "--hostname", "far.lan", "bank.example", text=token)
    assert done.returncode == 1 and done.stdout.startswith("joined ")
    assert (
        "left out: bank.example (the authority may not vouch for it; use bank.local, or name it at "
        "`forgather tls init --hostname NAME`)"
    ) in done.stderr.splitlines()


def test_names_of_a_host_that_it_can_never_have_are_said(ok, tls, tmp_path, monkeypatch):
    """Nobody has asked for them, so that all is well; but whoever calls this host so is refused."""
    own = [Names(hostnames=("box", "box.local")), parse_names(["10.0.0.5", "8.8.8.8", "2001:db8::5"])]
    monkeypatch.setattr("fg_tls.membership.left_out.names_of_this_host", lambda **_: own[0] | own[1])
    ok("init")
    lines = [
        "left out: box (the authority may not vouch for it; use box.local, or name it at "
        "`forgather tls init --hostname NAME`)",
        "left out: 8.8.8.8 (the authority may not vouch for it; use a private address, or name it at "
        "`forgather tls init --ip ADDRESS`)",
    ]
    code, _, said = tls("renew")
    assert (code, said.splitlines()) == (0, lines)
    code, _, said = tls("init", "--force")
    assert code == 0 and said.splitlines()[-2:] == lines


def test_a_name_that_another_host_has_is_said_to_be_taken(ok, tls):
    ok("init")
    ok("mint", "--ip", "10.0.0.9", "-o", Store().directory / "far")
    code, _, said = tls("renew", "--add-ip", "10.0.0.9")
    assert code == 1 and "left out: 10.0.0.9 (another host has it" in said


# --- two hosts -------------------------------------------------------------------------------------------------------


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def started(*words, **environment):
    """A command that goes on, ended at the latest with the context."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fg_tls", "tls", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    watchdog = threading.Timer(LONGEST_WAIT, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def test_a_join_token_listens_until_a_host_has_joined(ok, tmp_path):
    ok("init")
    with started("join-token", "--host", "127.0.0.1", "--port", free_port()) as issuer:
        token = issuer.stdout.readline()
        joined = join_in_a_process(tmp_path, "--hostname", "far.lan", text=token)
        assert joined.returncode == 0, joined
        assert issuer.wait(LONGEST_WAIT) == 0
        assert "a host has joined" in issuer.stderr.read()
    member = Store(tmp_path / "joiner" / "tls").identity().certificate
    assert "far.lan" in member.names
    member.x509.verify_directly_issued_by(Store().authority().certificate.x509)


def handed_out():
    return Issuer(Store()).books.read().tokens


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_join_token_nobody_has_used_ends_with_the_command(ok, ending):
    ok("init")
    with started("join-token", "--host", "localhost", "--port", 0) as issuer:
        token = JoinToken.decode(issuer.stdout.readline())
        assert list(handed_out()) == [token.id]
        (endpoint,) = token.endpoints
        assert "works" in ok("doctor", endpoint)
        issuer.send_signal(ending)
        assert issuer.wait(LONGEST_WAIT) == 1
        assert f"listening on port {endpoint.rpartition(':')[2]} until then" in (said := issuer.stderr.read())
        assert "Traceback" not in said
    assert handed_out() == {}


def test_there_is_no_join_token_for_a_place_where_nobody_can_listen(ok, tls):
    ok("init")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words, said in (
            (("--host", "127.0.0.1", "--port", port), f"port {port} on 127.0.0.1 is in use"),
            (("--host", "box.lan"), "'box.lan' is no address to listen on"),
            (("--host", "box.lan", "--no-wait"), "'box.lan' is no address to listen on"),
            (("--port", 99999, "--no-wait"), "port 99999 is not between 1 and 65535"),
            (("--port", 0, "--no-wait"), "port 0 is not between 1 and 65535"),
        ):
            code, out, err = tls("join-token", *words)
            assert (code, out) == (2, "") and said in err
    assert handed_out() == {}


@pytest.mark.parametrize(
    ("ttl", "said"),
    [("90s", "90 seconds"), ("15m", "15 minutes"), ("90m", "90 minutes"), ("2h", "2 hours"), ("7d", "7 days")],
)
def test_how_long_a_join_token_holds_is_said_in_a_unit_that_can_be_read(ok, tls, ttl, said):
    ok("init")
    code, _, err = tls("join-token", "--no-wait", "--ttl", ttl)
    assert code == 0 and f"it holds once, for {said}, while" in err


def test_a_join_token_does_not_hold_for_longer_than_a_week(ok, tls):
    ok("init")
    for ttl in ("8d", "169h", "999999d"):
        code, out, err = tls("join-token", "--no-wait", "--ttl", ttl)
        assert (code, out) == (2, "") and "a join token holds for 7 days at most" in err
    assert handed_out() == {}


def test_a_join_token_is_for_the_issuer_that_runs_whatever_port_is_given(ok, tls):
    ok("init")
    said = "--host and --port are not used: the issuer of this host runs already, on 127.0.0.1 port "
    with started("serve", "--host", "127.0.0.1", "--port", port := free_port()) as issuer:
        assert issuer.stderr.readline()
        for words, expected in ((("--port", 8767), True), (("--host", "0.0.0.0"), True), ((), False)):
            _, token, err = tls("join-token", *words)
            assert JoinToken.decode(token).endpoints == (f"127.0.0.1:{port}",)
            assert (f"{said}{port}" in err) is expected


def test_a_host_that_was_revoked_hears_of_it_from_its_issuer(ok, tls, tmp_path, monkeypatch):
    ok("init")
    with started("serve", "--host", "127.0.0.1", "--port", port := free_port()) as issuer:
        assert issuer.stderr.readline()
        joined = join_in_a_process(tmp_path, text=tls("join-token", "--name", "far.lan")[1])
        assert joined.returncode == 0, joined
        ok("revoke", "far.lan")
        monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "joiner"))
        code, found, _ = tls("doctor", f"127.0.0.1:{port}")
        assert code == 1 and found.startswith("the certificate of this host is revoked; ")
        code, found, warnings = tls("status")
        assert code == 1 and "\nrenewal      none, for the certificate is revoked\n" in found
        assert warnings.startswith("warning: the certificate is revoked")
        revocation_list = Store().revoked_path
        revocation_list.unlink()
        assert tls("renew")[0] == 2
        assert Store().identity().certificate in revocation.read(Store())


def test_names_given_to_join_are_all_at_first_and_renewal_adds_those_of_the_host(ok, tls, tmp_path, monkeypatch):
    assert "which the first renewal adds" in " ".join(ok("join", "--help").split())
    ok("init")
    with started("serve", "--host", "127.0.0.1", "--port", free_port()) as issuer:
        assert issuer.stderr.readline()
        joined = join_in_a_process(tmp_path, "--hostname", "far.lan", text=tls("join-token")[1])
        assert joined.returncode == 0, joined
        monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "joiner"))
        own = Names(hostnames=("far.lan", "near.local"))
        monkeypatch.setattr("fg_tls.host.this_host.names_of_this_host", lambda **_: own)
        assert Store().identity().certificate.names.hostnames == ("localhost", "far.lan")
        ok("renew")
    assert {"far.lan", "near.local"} <= set(Store().identity().certificate.names.hostnames)


def test_a_join_token_nobody_uses_ends_with_it(ok):
    ok("init")
    with started("join-token", "--ttl", "1s", "--host", "127.0.0.1", "--port", free_port()) as issuer:
        assert issuer.wait(LONGEST_WAIT) == 1
        assert "nobody has used the token" in issuer.stderr.read()


def test_serve_serves_join_tokens_and_ends_quietly(ok, tls, tmp_path):
    ok("init")
    with started("serve", "--host", "127.0.0.1", "--port", port := free_port()) as issuer:
        assert f"127.0.0.1 port {port}" in issuer.stderr.readline()
        code, token, _ = tls("join-token", "--role", "submitter", "--name", "far.lan")
        assert code == 0
        joined = join_in_a_process(tmp_path, "--hostname", "far.lan", text=token)
        assert joined.returncode == 0, joined
        assert "works" in ok("doctor", f"127.0.0.1:{port}")
        issuer.send_signal(signal.SIGINT)
        assert issuer.wait(LONGEST_WAIT) == 0
        assert "Traceback" not in issuer.stderr.read()
    member = Store(tmp_path / "joiner" / "tls").identity().certificate.member
    assert member is not None and member.role == "submitter"


def test_members_learn_where_the_issuer_listens_and_its_host_who_they_are(ok, tls, tmp_path, monkeypatch):
    ok("init")
    with started("serve", "--host", "127.0.0.1", "--port", port := free_port()) as issuer:
        assert issuer.stderr.readline()
        joined = join_in_a_process(tmp_path, text=tls("join-token", "--name", "far.lan")[1])
        assert joined.returncode == 0, joined
        far = next(each for each in json.loads(ok("status", "--json"))["members"] if "far.lan" in each["names"])
        assert f"far.lan ({far['id']}, member), seen " in ok("status")
        monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "joiner"))
        found = json.loads(ok("status", "--json"))
        assert (found["member"], found["issuers"][0]) == (far["id"], f"https://127.0.0.1:{port}")
        before = Store().identity().certificate
        assert "far.lan" in ok("renew")
    assert Store().identity().certificate.serial != before.serial
    # Its own names were not granted, because a person chose others: nothing to be done about that.
    assert json.loads(ok("status", "--json"))["warnings"] == []


def test_why_renewing_failed_is_said_once(ok, tmp_path, monkeypatch):
    ok("init")
    with started("serve", "--host", "127.0.0.1", "--port", free_port()) as issuer:
        assert issuer.stderr.readline()
        assert join_in_a_process(tmp_path, text=ok("join-token", "--name", "far.lan")).returncode == 0
    words = [sys.executable, "-m", "fg_tls", "tls", "renew"]
    there = os.environ | {"FORGATHER_CONFIG_DIR": str(tmp_path / "joiner")}
    Store(tmp_path / "joiner" / "tls").save_settings(issuers=["https://127.0.0.1:9"])
    done = subprocess.run(words, env=there, capture_output=True, text=True, timeout=LONGEST_WAIT, check=False)
    assert (done.returncode, done.stderr.count("127.0.0.1")) == (2, 1), done.stderr
