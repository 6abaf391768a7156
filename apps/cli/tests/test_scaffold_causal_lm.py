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
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
needs_templates = pytest.mark.skipif(bool(MISSING), reason="templates are elsewhere")
CHILD = """\
-- extends 'configs/default.yaml'

#-------- this.model --------
-- extends 'project.model'

[model_config]
    == super()
    num_hidden_layers: 6

#-------- this.callbacks --------
-- extends 'project.callbacks'

[callback_list]
    == super()
    text_generation: ~

#-------- this.trainer --------
-- extends 'project.trainer'

[trainer_args]
    == super()
    max_grad_norm: 0.5
"""


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


@needs_templates
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


@needs_templates
def test_a_child_changes_model_callbacks_and_trainer_and_nothing_else(forgather, project):
    (project / "templates" / "configs" / "child.yaml").write_text(CHILD)
    done = forgather("diff", "-p", project, "--json", "default.yaml", "child.yaml")
    assert done.returncode == 1, done.stderr
    changes = {change["path"]: change for change in json.loads(done.stdout)["changes"]}
    changes = {path: change for path, change in changes.items() if not path.endswith("logging_dir")}  # tells the time
    assert changes.pop("trainer_callbacks.text_generation")["kind"] == "removed"
    assert {path: (change["old"]["value"], change["new"]["value"]) for path, change in changes.items()} == {
        "pretrained_config.config.num_hidden_layers": (3, 6),
        "trainer_args.max_grad_norm": (1.0, 0.5),
    }
    assert forgather("check", "-p", project, "-t", "child.yaml").stdout == "nothing found in 1 config\n"


@needs_templates
def test_configs_made_one_from_another_share_no_output_directory(forgather, project):
    for words in (["wider.yaml"], ["copy.yaml", "default.yaml"]):
        assert forgather("project", "new_config", "-p", project, *words).returncode == 0
    assert forgather("check", "-p", project, "--all").stdout == "nothing found in 3 configs\n"


@needs_templates
@pytest.mark.parametrize("config", ["default.yaml", "child.yaml"])
def test_a_model_project_takes_the_place_of_the_model(forgather, project, config):
    (project / "templates" / "configs" / "child.yaml").write_text(CHILD)
    words = ("-p", project, "-t", config, "--model-project", "../other", "--model-config", "tiny.yaml")
    done = forgather("graph", *words, "--target", "model_dict", "--format", "yaml")
    assert done.returncode == 0, done.stderr
    assert "project_dir: ../other" in done.stdout and "config_template: tiny.yaml" in done.stdout
    assert "fg_models:construct_model" not in forgather("pp", *words).stdout
