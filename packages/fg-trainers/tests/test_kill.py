"""SIGKILL at any instant loses nothing that was saved and changes nothing that comes after."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_ten_random_kills_leave_the_run_that_was_never_killed():
    script = Path(__file__).with_name("kill_schedule.py")
    result = subprocess.run(
        [sys.executable, str(script), "--kills", "10", "--seed", "5"], capture_output=True, text=True, timeout=250
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["kills_that_hit"] >= 8, "too few kills hit a running training; the schedule shows little"
    assert report["newest_steps"][-1] > 0, "no attempt lived long enough to save; the schedule shows nothing"
