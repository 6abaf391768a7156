"""`train --set`: the launched process sees the override, the run keeps it, and `--dry-run` shows it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fg_config import Override, Span, diff, load_run_record

SCRIPT = """\
import json
from pathlib import Path
from types import SimpleNamespace


class Script:
    def __init__(self, size, output_dir):
        self.size = size
        self.output_dir = Path(output_dir)
        self.trainer = SimpleNamespace(args=SimpleNamespace(run_dir=self.output_dir / "runs" / "first"))

    def run(self):
        (self.output_dir / "result.json").write_text(json.dumps(self.size))
"""
CONFIG = """\
meta: { nproc_per_node: 1, output_dir: out }
main: !call:script.py:Script
    size: {{ size | default(3) }}
    output_dir: {{ joinpath(project_dir, 'out') }}
dynamic_args: !dlist
    size: { names: "--size", type: int }
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
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_run_sees_the_override_and_keeps_it(project):
    done = train(project, "--size", "4", "--set", "main.size=7", "--set-json", '+extra={"a": [1]}')
    assert done.returncode == 0, done.stderr
    assert (project / "out" / "result.json").read_text() == "7"
    record = load_run_record(project / "out" / "runs" / "first")
    assert record.overrides == (
        Override(flag="--set", text="main.size=7", number=1),
        Override(flag="--set-json", text='+extra={"a": [1]}', number=2),
    )
    assert (record.config_name, record.dynamic_args, record.project_dir) == ("a.yaml", {"size": 4}, project)
    newest, written = record.graph.origins("main.size")
    assert (newest.value, newest.span, newest.how) == (7, Span(file="--set", line=1), "override")
    assert (written.value, written.span.line) == (4, 3)
    assert record.graph.at("extra") == {"a": [1]}


def test_two_runs_can_be_compared(project):
    assert train(project).returncode == 0
    runs = project / "out" / "runs"
    (runs / "first").rename(runs / "before")
    assert train(project, "--set", "main.size=8").returncode == 0
    before, after = (load_run_record(runs / name).graph for name in ("before", "first"))
    assert [(change.path, change.new.value) for change in diff(before, after).changes] == [("main.size", 8)]


def test_a_config_that_trains_nothing_is_told_at_its_main(project):
    (project / "templates" / "configs" / "list.yaml").write_text("meta: {}\nmain: [ 1 ]\n")
    done = train(project, "-t", "list.yaml")
    error, place, line, help = done.stderr.splitlines()
    assert done.returncode == 2
    assert error.startswith(
        "error[FG0480]: 'list.yaml' is no training config: its target 'main' builds something of type"
    )
    assert place.endswith("list.yaml:2:7")
    assert line == "   |  main: [ 1 ]"
    assert "`forgather construct`" in help and "fg_trainers:TrainingScript" in help


def test_dry_run_shows_overrides_ready_for_a_shell(project):
    done = train(project, "--dry-run", "--set", "meta.nproc_per_node=2", "--set", "+note=two words")
    assert done.returncode == 0, done.stderr
    words = shlex.split(done.stdout)
    assert words[words.index("--nproc-per-node") + 1] == "2"
    assert words[-5:] == ["--set", "meta.nproc_per_node=2", "--set", "+note=two words", "a.yaml"]


def test_a_wrong_override_starts_nothing(project):
    done = train(project, "--set", "main.sise=7")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'size'?" in done.stderr and "Traceback" not in done.stderr
    assert not (project / "out").exists()
