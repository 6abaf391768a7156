"""The main job end to end, as a new user runs it, only shorter."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of the tiny Llama project, without anything an earlier run left there."""
    skip = shutil.ignore_patterns("output_models", "data", "__pycache__")
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=skip)
    return tmp_path / "examples" / "tutorials" / "tiny_llama"


@pytest.fixture
def project_with_text(project) -> Path:
    """The project, with the text that `prepare_data.py` writes."""
    subprocess.run([sys.executable, "prepare_data.py"], cwd=project, check=True, timeout=60)
    return project


def run(command: list[str], project: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a command and all it starts; past its time everything is killed, so that no rank is left waiting."""
    process = subprocess.Popen(
        command,
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "FORGATHER_CONFIG_DIR": str(project.parent / "settings")},
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        pytest.fail(f"still running after {seconds} s:\n{output[-3000:]}")
    return subprocess.CompletedProcess(command, process.returncode, output)


@pytest.mark.slow
def test_the_demo_keeps_its_promises(project):
    result = run([sys.executable, "demo.py", "--steps", "60"], project, 280)
    assert result.returncode == 0, result.stdout[-4000:]
    promises = ["bit for bit", "without Forgather", "with and without cache", "streamed", "held out"]
    assert [promise for promise in promises if promise not in result.stdout] == []
    assert (project / "output_models" / "tiny_llama" / "loss.png").stat().st_size > 5_000


@pytest.mark.slow
def test_a_run_under_torchrun_is_the_run_without_it(project_with_text):
    project = project_with_text
    forgather = [sys.executable, "-m", "fg_cli", "-p", str(project), "train", "--max-steps", "3"]
    alone = run([*forgather, "--output-dir", str(project / "alone")], project, 120)
    assert alone.returncode == 0, alone.stdout
    torchrun = ["--", "--standalone", "--nproc-per-node", "1"]
    launched = run([*forgather, "--output-dir", str(project / "launched"), *torchrun], project, 120)
    assert launched.returncode == 0, launched.stdout
    weights = [project / name / "checkpoints" / "checkpoint-3" / "model.safetensors" for name in ("alone", "launched")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_two_processes_are_refused_with_the_setting_that_fixes_it(project):
    command = [sys.executable, "-m", "fg_trainers.launch", "-p", str(project), "v1.yaml"]
    result = subprocess.run(
        command, env={**os.environ, "WORLD_SIZE": "2", "RANK": "0"}, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 2
    assert "nproc_per_node" in result.stderr
