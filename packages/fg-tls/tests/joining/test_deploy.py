import getpass
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fg_tls import JoinError, Store
from fg_tls.issuing.deploying import Deployment, deploy

from .hosts import LONGEST_WAIT

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
SSH = shutil.which("ssh")
NEEDS_SSH = pytest.mark.skipif(not (SSHD and SSH), reason="sshd and ssh (openssh-server, openssh-client) are needed")
TOKEN = re.compile(r"fgj1\.[\w-]+\n")


def key_pair(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True, timeout=LONGEST_WAIT)
    return path.with_suffix(".pub").read_text()


class Remote:
    """A host that is reached by ssh: this one, with a TLS directory of its own."""

    def __init__(self, directory):
        self.directory = directory
        self.store = Store(directory / "config" / "tls")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        host_key = key_pair(directory / "host_key")
        (directory / "authorized_keys").write_text(key_pair(directory / "user_key"))
        (directory / "known_hosts").write_text(f"[127.0.0.1]:{self.port},[localhost]:{self.port} {host_key}")
        (directory / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\n"
            f"HostKey {directory}/host_key\n"
            f"AuthorizedKeysFile {directory}/authorized_keys\n"
            f"SetEnv FORGATHER_CONFIG_DIR={directory}/config\n"
            "StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
            "LogLevel VERBOSE\n"
        )

    @property
    def options(self):
        return [
            *("-F", "none", "-p", str(self.port), "-i", str(self.directory / "user_key")),
            *("-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={self.directory}/known_hosts"),
        ]

    def start(self):
        if os.geteuid() == 0:  # where Debian's sshd wants to confine itself; its service makes it
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        command = [SSHD, "-D", "-e", "-f", str(self.directory / "sshd_config")]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "Server listening" in line:
                break
        else:
            pytest.skip(f"sshd does not run here (exit status {self.process.wait(LONGEST_WAIT)})")

    def stop(self):
        """End it; gives what it has logged since it listens."""
        self.process.terminate()
        return self.process.communicate(timeout=LONGEST_WAIT)[1]


@pytest.fixture
def remote(tmp_path):
    directory = tmp_path / "remote"
    directory.mkdir()
    found = Remote(directory)
    found.start()
    yield found
    if found.process.returncode is None:
        found.stop()


@pytest.fixture
def wire(tmp_path, monkeypatch):
    """Everything that ssh is given: a program of that name writes it down, and runs the real one."""
    directory = tmp_path / "wire"
    directory.mkdir()
    program = directory / "ssh"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {directory}/argv\ntee -a {directory}/stdin | {SSH} "$@"\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    return directory


def join_command(hostname="wopr.lan"):
    return f"{shlex.quote(sys.executable)} -m fg_tls tls join --hostname {hostname}"


def here(host="127.0.0.1"):
    return f"{getpass.getuser()}@{host}"


def private_keys(directory):
    """The base64 of every private key below `directory`."""
    text = b"\n".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
    return set(re.findall(rb"-----BEGIN PRIVATE KEY-----\n(.+?)\n-----END", text, re.DOTALL))


@NEEDS_SSH
def test_a_host_joins_over_ssh_and_only_a_token_crosses(issuer, remote, wire):
    (done,) = deploy(
        issuer.store,
        [here()],
        ssh_options=remote.options,
        remote_command=join_command(),
        host="127.0.0.1",
        port=0,
    )
    assert done.joined, done.output
    member = remote.store.identity().certificate.member
    assert str(issuer.books.member(member.id).names).startswith("localhost, wopr.lan")
    stdin, argv = (wire / "stdin").read_bytes(), (wire / "argv").read_bytes()
    assert TOKEN.fullmatch(stdin.decode())
    assert b"fgj1." not in argv
    log = remote.stop()
    assert "Accepted publickey" in log
    assert stdin.decode().strip() not in log + done.output
    ours, theirs = private_keys(issuer.store.directory), private_keys(remote.store.directory)
    assert (len(ours), len(theirs)) == (2, 1)
    assert not ours & theirs
    assert not any(key in stdin + argv for key in ours | theirs)


@NEEDS_SSH
def test_each_destination_has_its_own_token_and_its_own_result(issuer, remote, wire):
    said = []
    done = deploy(
        issuer.store,
        [here(), here("localhost"), here()],
        ssh_options=remote.options,
        remote_command=join_command(),
        host="127.0.0.1",
        port=0,
        progress=said.append,
    )
    assert [each.joined for each in done] == [True, False]  # both are the same host, which is a member by then
    assert "belongs to the cluster" in str(done[1])
    assert len(set(TOKEN.findall((wire / "stdin").read_text()))) == 2
    assert said == [
        f"asking {here()} to join",
        f"{here()} has joined",
        f"asking {here('localhost')} to join",
        str(done[1]),
    ]


@NEEDS_SSH
@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        ("no-such-command-here", 127, "has no such command"),
        ("echo why >&2; exit 3", 3, r"has not joined \(exit status 3\): why"),
        ("cat; exit 1", 1, r"has not joined \(exit status 1\): fgj1\.…$"),
        (r"printf '\033[2Jgone\n'; exit 1", 1, r": \[2Jgone$"),
    ],
)
def test_what_the_other_side_says_is_passed_on_without_the_token(issuer, remote, command, code, sentence):
    (done,) = deploy(
        issuer.store,
        [here()],
        ssh_options=remote.options,
        remote_command=command,
        host="127.0.0.1",
        port=0,
    )
    assert done.exit_code == code
    assert re.search(sentence, str(done))
    assert not TOKEN.search(done.output + "\n")


@NEEDS_SSH
def test_a_host_that_ssh_does_not_know_gets_no_token(issuer, remote, wire):
    (remote.directory / "known_hosts").write_text("")
    (done,) = deploy(issuer.store, [here()], ssh_options=remote.options, host="127.0.0.1", port=0)
    assert done.exit_code == 255
    assert issuer.books.read().tokens == {}
    assert str(done).startswith(f"ssh cannot reach {here()}: ")
    assert not remote.store.provisioned


@pytest.mark.parametrize("destination", ["-oProxyCommand=touch owned", "--", "", "a b", "box.lan;id", "$(id)", "a\nb"])
def test_what_is_no_destination_is_refused_before_anything_is_done(issuer, wire, destination):
    with pytest.raises(JoinError, match="is no destination of ssh"):
        deploy(issuer.store, ["box.lan", destination], host="127.0.0.1", port=0)
    assert list(wire.iterdir()) == [wire / "ssh"]
    assert issuer.books.read().tokens == {}


def test_without_ssh_there_is_another_way(issuer, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JoinError, match=r"there is no ssh on this machine; .* `forgather tls join-token`"):
        deploy(issuer.store, ["box.lan"], host="127.0.0.1", port=0)
    assert issuer.books.read().tokens == {}


def test_a_result_says_what_to_do():
    assert str(Deployment(destination="box", exit_code=0, output="")) == "box has joined"
    assert str(Deployment(destination="box", exit_code=255, output="")).endswith("try `ssh box` by hand")
