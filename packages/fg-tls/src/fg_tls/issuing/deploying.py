"""Making hosts members over ssh: one join token crosses, on the standard input, and no key.

The token is on no command line, where `ps` would show it to every user of either machine. A destination that ssh would
read as an option is refused: `-oProxyCommand=…` runs a program (CVE-2017-1000117 was that in another tool).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fg_tls.clock import SYSTEM, Clock
from fg_tls.errors import JoinError
from fg_tls.host.store import Store
from fg_tls.issuing import ISSUER_PORT
from fg_tls.issuing.issuer import Issuer
from fg_tls.issuing.join_token import PREFIX
from fg_tls.issuing.running import issuing
from fg_tls.pki.certificates import Role

REMOTE_COMMAND: Final = "forgather tls join"
_TIMEOUT: Final = 300.0  # seconds; somebody may have to type a password
_DESTINATION: Final = re.compile(r"[A-Za-z0-9_.:@\[\]%/+=~-]+")
_LONGEST_OUTPUT: Final = 4000  # characters
_NO_COMMAND: Final = 127  # exit status of a shell that does not find the command
_SSH_FAILED: Final = 255

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What came of one destination."""

    destination: str
    exit_code: int
    output: str  # of the other side, without join tokens

    @property
    def joined(self) -> bool:
        return self.exit_code == 0

    def __str__(self) -> str:
        """One sentence, and what to do."""
        if self.joined:
            return f"{self.destination} has joined"
        said = f": {self.output.strip().splitlines()[-1]}" if self.output.strip() else ""
        if self.exit_code == _SSH_FAILED:
            return f"ssh cannot reach {self.destination}{said}; try `ssh {self.destination}` by hand"
        if self.exit_code == _NO_COMMAND:
            return f"{self.destination} has no such command{said}; install Forgather there, or give its path"
        return f"{self.destination} has not joined (exit status {self.exit_code}){said}"


def deploy(
    store: Store,
    destinations: Iterable[str],
    *,
    ssh_options: Sequence[str] = (),
    remote_command: str = REMOTE_COMMAND,
    role: Role = "member",
    host: str | None = None,
    port: int = ISSUER_PORT,
    clock: Clock = SYSTEM,
    progress: Progress = lambda _text: None,
) -> list[Deployment]:
    """Let the hosts at `destinations` (as ssh knows them) join, one after the other; gives what came of each.

    An issuer runs on `host` and `port` meanwhile, unless one runs on this machine already.

    Raises:
        JoinError: a destination is none, or there is no ssh here; nothing was done then.
        NotProvisionedError: the authority is elsewhere.
    """
    wanted = list(dict.fromkeys(destinations))
    for each in wanted:
        _check(each)
    if shutil.which("ssh") is None:
        raise JoinError(
            "there is no ssh on this machine; install an OpenSSH client, or take `forgather tls join-token` to the "
            "other host yourself"
        )
    done = []
    with issuing(store, host=host, port=port, clock=clock) as endpoints:
        issuer = Issuer(store, clock)
        for destination in wanted:
            progress(f"asking {destination} to join")
            token = issuer.create_token(endpoints=endpoints, role=role)
            try:
                done.append(_push(token.encode(), destination, ssh_options, remote_command))
            finally:
                issuer.books.take_back(token.id)
            progress(str(done[-1]))
    return done


def _check(destination: str) -> None:
    if destination.startswith("-") or not _DESTINATION.fullmatch(destination):
        raise JoinError(f"{destination!r} is no destination of ssh; write for example box.local or user@10.0.0.5")


def _push(token: str, destination: str, ssh_options: Sequence[str], remote_command: str) -> Deployment:
    command = ["ssh", "-T", *ssh_options, "--", destination, remote_command]
    try:
        run = subprocess.run(
            command,
            input=f"{token}\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Deployment(destination=destination, exit_code=_SSH_FAILED, output=f"no end after {_TIMEOUT:.0f} seconds")
    return Deployment(destination=destination, exit_code=run.returncode, output=_printable(run.stdout))


def _printable(output: str) -> str:
    """The end of what the other side said, without tokens that it echoed and without terminal escapes."""
    text = re.sub(rf"{re.escape(PREFIX)}[\w-]*", f"{PREFIX}…", output[-_LONGEST_OUTPUT:])
    return "".join(character for character in text if character.isprintable() or character in "\n\t")
