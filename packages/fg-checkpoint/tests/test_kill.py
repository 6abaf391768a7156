"""A save that is killed leaves the last checkpoint as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_sigkill_at_random_instants_always_leaves_a_verifying_latest():
    script = Path(__file__).with_name("kill_schedule.py")
    command = [sys.executable, str(script), "--kills", "10", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[:2] == ["kills", "10"]
    assert int(words[3]) > 0, "no save was ever committed, the test shows nothing"
    assert int(words[5]) > 0, "no save was ever interrupted, the test shows nothing"
