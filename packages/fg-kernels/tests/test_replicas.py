"""Optimizers in two processes: replicas, shards, resumed shards, and updates inside the backward pass of shards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("optimizer_ranks.py")


@pytest.mark.parametrize("scenario", ["replicas", "shards", "columns", "resume", "in_backward"])
def test_two_ranks(scenario, tmp_path):
    command = [sys.executable, str(SCRIPT), scenario, str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment)
    try:
        _, errors = process.communicate(timeout=100)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, errors = process.communicate()
        pytest.fail(f"{scenario} hangs:\n{errors}")
    assert process.returncode == 0, errors
