"""`sweep --run`: it trains one combination after another, and ends with the first that fails or is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """\
import signal, sys, time
from pathlib import Path


class Script:
    def __init__(self, seed, directory):
        self.seed, self.directory = seed, Path(directory)

    def run(self):
        with (self.directory / "ran").open("a") as ran:
            ran.write(f"{self.seed} ")
        if self.seed == 3:
            raise SystemExit(7)
        if self.seed == 9:
            signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
            (self.directory / "ready").touch()
            time.sleep(60)
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    configs = tmp_path / "templates" / "configs"
    configs.mkdir(parents=True)
    (tmp_path / "forgather_workspace").mkdir()
    (tmp_path / "meta.yaml").touch()
    (tmp_path / "script.py").write_text(SCRIPT)
    text = "meta: {}\nmain: !call:script.py:Script { seed: 1, directory: {{ project_dir }} }\n"
    (configs / "a.yaml").write_text(text)
    return tmp_path


def sweep(project: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "fg_config", "sweep", "-p", str(project), *words, "--run"]


def test_running_stops_at_the_first_failure(script):
    done = subprocess.run(sweep(script, "main.seed=2,3,4"), capture_output=True, text=True, timeout=120)
    assert (done.returncode, (script / "ran").read_text()) == (7, "2 3 ")
    assert "[2/3] seed=3" in done.stdout and "seed=3 ended with exit code 7; 1 of 3 done" in done.stdout


def test_interrupting_waits_for_the_run_and_ends(script):
    process = subprocess.Popen(
        sweep(script, "main.seed=9,1"), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        while not (script / "ready").exists():
            assert process.poll() is None
            os.sched_yield()
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and (script / "ran").read_text() == "9 "
    assert "seed=9 was interrupted; 0 of 2 done" in out
