"""A save that is killed leaves the last checkpoint as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("kill_schedule.py")


def run(*arguments):
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}


def test_sigkill_at_random_instants_always_leaves_a_verifying_latest():
    found = run("--kills", "10", "--seed", "7")
    assert found["kills"] == 10
    assert found["newest"] > 0, "no save was ever committed, the test shows nothing"
    assert found["interrupted"] > 0, "no save was ever interrupted, the test shows nothing"


def test_sigkill_before_each_file_operation_of_a_save():
    assert run("--operations")["operations"] > 40
