"""The scaffold of a language model: a project whose first config is complete."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

NEEDED = ("fg_data_server", "fg_kernels", "fg_models", "fg_trainers")


@pytest.fixture
def project(forgather, tmp_path) -> Path:
    assert forgather("ws", "create", "lab").returncode == 0
    done = forgather("project", "create", "-p", "lab", "--name", "Animal stories", "--scaffold", "causal_lm")
    assert done.returncode == 0, done.stderr
    return tmp_path / "lab" / "animal_stories"


def test_the_text_is_what_the_grammar_writes():
    grammar = Path(__file__).with_name("story_grammar.py")
    written = subprocess.run([sys.executable, str(grammar)], capture_output=True, text=True, timeout=60, check=True)
    text = files("fg_cli").joinpath("scaffolds", "causal_lm", "data", "stories.txt").read_text(encoding="utf-8")
    assert written.stdout == text and 40_000 < len(text) < 60_000


def test_it_is_the_default_scaffold(forgather, tmp_path):
    forgather("ws", "create", ".")
    assert forgather("project", "create", "--name", "Tales").returncode == 0
    assert (tmp_path / "tales" / "data" / "stories.txt").is_file()


@pytest.mark.skipif(any(importlib.util.find_spec(name) is None for name in NEEDED), reason="templates are elsewhere")
def test_the_config_says_what_will_be_trained(forgather, project):
    (listing,) = json.loads(forgather("ls", "-p", project, "--json").stdout)
    (config,) = listing["configs"]
    assert config == {
        "config": "default.yaml",
        "name": "Animal stories",
        "description": "",
        "config_class": "type.training_script.causal_lm",
        "default": True,
        "error": None,
    }
    shown = forgather("train", "-p", project, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "fg_trainers.launch" in shown.stdout and str(project) in shown.stdout
    graph = forgather("graph", "-p", project, "--target", "trainer_args", "--max-steps", "12").stdout
    assert "max_steps: 12" in graph and f"{project}/output_models/animal_stories" in graph
