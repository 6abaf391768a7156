"""Two processes that save and load together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("rank_scenarios.py")


@pytest.mark.parametrize("scenario", ["save_and_load", "divergence", "failure_on_one_rank", "another_world_size"])
def test_two_ranks(scenario, tmp_path):
    command = [sys.executable, str(SCRIPT), scenario, str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _, errors = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, errors = process.communicate()
        pytest.fail(f"{scenario} hangs:\n{errors}")
    assert process.returncode == 0, errors
