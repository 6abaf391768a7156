"""`train` under the import policy: what one command allows reaches the process that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """\
from pathlib import Path


class Script:
    def __init__(self, number):
        self.number = number

    def run(self):
        Path(__file__).with_name("ran").write_text("yes")
"""
CONFIG = """\
meta: { nproc_per_node: 1 }
main: !call:script.py:Script [ !call:os:getpid [] ]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "forgather_workspace").mkdir()
    (tmp_path / "meta.yaml").write_text("name: P\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    configs = tmp_path / "templates" / "configs"
    configs.mkdir(parents=True)
    (configs / "a.yaml").write_text(CONFIG)
    return tmp_path


def train(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fg_trainers", "train", "-p", str(project), *words]
    environment = {**os.environ, "FORGATHER_CONFIG_DIR": str(project / "user")}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)


def test_a_run_is_refused_what_no_rule_allows(project: Path) -> None:
    done = train(project)
    assert done.returncode == 2
    assert "error[FG0450]" in done.stderr and "a.yaml:2" in done.stderr
    assert not (project / "ran").exists()


@pytest.mark.parametrize("words", [["--trust"], ["--allow", "os.getpid"]])
def test_what_one_command_allows_reaches_its_process(project: Path, words: list[str]) -> None:
    done = train(project, *words)
    assert done.returncode == 0, done.stderr
    assert f" {' '.join(words)} a.yaml" in done.stdout
    assert (project / "ran").read_text() == "yes"


def test_the_environment_of_a_run_is_checked_before_it_starts(project: Path) -> None:
    config = project / "templates" / "configs" / "a.yaml"
    config.write_text(f"{CONFIG}env:\n    FORGATHER_CONFIG_DIR: '{project}/mine'\n")
    done = train(project, "--dry-run")
    assert done.returncode == 2
    assert "FORGATHER_CONFIG_DIR" in done.stderr and "a.yaml:4" in done.stderr
    assert train(project, "--dry-run", "--trust").returncode == 0
