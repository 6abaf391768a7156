"""A workspace with one project, and the command run as a user runs it: in a process of its own."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pytest

SMALL_CONFIG = """\
-- set ns = namespace()
meta: {config_name: "Small", config_description: "two numbers", config_class: "type.none"}
dynamic_args: !dlist
    seed: {names: ["--seed"], type: "int", help: "where the numbers start"}
main: !call:dict
    first: {{ seed | default(1) }}
    second: 2
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "forgather_workspace").mkdir()
    configs = tmp_path / "numbers" / "templates" / "configs"
    configs.mkdir(parents=True)
    (configs.parents[1] / "meta.yaml").write_text('name: "Numbers"\ndefault_config: "small.yaml"\n')
    (configs / "small.yaml").write_text(SMALL_CONFIG)
    (configs / "other.yaml").write_text(SMALL_CONFIG.replace("Small", "Other"))
    return configs.parents[1]


@pytest.fixture
def forgather(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    environment = {**os.environ, "FORGATHER_CONFIG_DIR": str(tmp_path / "user")}

    def run(*words: str | Path, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fg_cli", *map(str, words)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)

    return run


# --- a terminal ---------------------------------------------------------------------------------------------------


class Terminal:
    """Runs `command` as the foreground process of a terminal of its own."""

    def __init__(self, command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> None:
        self.screen = ""
        self._seen = 0
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(cwd)
                os.execve(command[0], list(command), dict(environment))
            finally:
                os._exit(127)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def type(self, keys: str) -> None:
        """Press keys; `\\t`, `\\x03` and `\\x04` are TAB, Ctrl-C and Ctrl-D."""
        os.write(self._fd, keys.encode())

    def expect(self, text: str, seconds: float = 30) -> str:
        """Wait until `text` appears behind what was expected before; what stood in between."""
        end = time.monotonic() + seconds
        while text not in self.screen[self._seen :]:
            if not self._read(end):
                raise AssertionError(f"{text!r} did not appear; since the last match: {self.screen[self._seen :]!r}")
        start = self._seen
        self._seen = self.screen.index(text, start) + len(text)
        return self.screen[start : self._seen]

    def await_sleep(self, seconds: float = 30) -> None:
        """Wait until the program waits for keys. A Ctrl-C in the instant before that is seen with the next key only
        (CPython's readline checks for signals before it waits, and not while it begins to)."""
        end = time.monotonic() + seconds
        while Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < end, "the program never waits"
            time.sleep(0.001)

    def exit_code(self, seconds: float = 30) -> int:
        """Wait for the end of the program."""
        end = time.monotonic() + seconds
        while self._read(end):
            pass
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def _read(self, end: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0.0, end - time.monotonic()))
        try:
            data = os.read(self._fd, 65536) if ready else b""
        except OSError:  # Linux reports the closed other side so
            data = b""
        self.screen += data.decode(errors="replace")
        return bool(data)


@pytest.fixture
def interactive(tmp_path: Path) -> Callable[..., Terminal]:
    """Start `forgather -i` in a directory, on a terminal wide enough that nothing wraps."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    wide = {"TERM": "dumb", "COLUMNS": "200", "LINES": "50", "PAGER": "cat"}
    own = {"FORGATHER_CONFIG_DIR": str(tmp_path / "user")}

    def start(directory: Path, *words: str, **environment: str) -> Terminal:
        command = [sys.executable, "-m", "fg_cli", "-i", *words]
        return Terminal(command, directory, {**kept, **wide, **own, **environment})

    return start
