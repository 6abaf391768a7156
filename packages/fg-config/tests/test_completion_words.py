"""Completion: what is offered is what the parser of the verb accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from fg_config import commands
from fg_config.shell.completion import complete
from fg_config.shell.line_editor import completed_words

CONFIG = """\
meta: {config_name: "Numbers", config_description: "", config_class: "type.none"}
dynamic_args: !dlist
    start: {names: ["--start"], type: "int", help: "where the\\n numbers start"}
    mode: {names: ["--mode"], choices: ["up", "down"]}
    table: {names: ["--table"], type: "path"}
numbers: &numbers !call:range [ 1, 10 ]
main: !call:dict { numbers: *numbers, nested: { inner: 1, other: 2, a.b: 3 }, steps: !dlist { first: 1, second: 2 } }
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "forgather_workspace").mkdir()
    configs = tmp_path / "numbers" / "templates" / "configs"
    configs.mkdir(parents=True)
    (tmp_path / "numbers" / "meta.yaml").write_text("default_config: small.yaml\n")
    (configs / "small.yaml").write_text(CONFIG)
    (configs / "large.yaml").write_text(CONFIG.replace("--start", "--begin"))
    (configs / "broken.yaml").write_text("main: {{ nothing }}\n")
    monkeypatch.chdir(tmp_path / "numbers")
    return tmp_path / "numbers"


def offered(*words: str) -> list[str]:
    found = complete(words, commands.VERBS, lambda verb: commands)
    return [candidate.text for candidate in found.candidates]


def paths(*words: str) -> str:
    return complete(words, commands.VERBS, lambda verb: commands).paths


def test_verbs_come_first_and_only_once(project):
    assert offered("") == list(commands.VERBS)
    assert offered("-t", "small.yaml", "const") == ["construct"]
    assert "construct" not in offered("pp", "const")


def test_a_value_that_is_called_like_a_verb_is_no_verb(project):
    assert "targets" in offered("-t", "pp", "ta")


def test_configs_of_the_selected_project(project, monkeypatch):
    assert offered("pp", "-t", "") == ["broken.yaml", "large.yaml", "small.yaml"]
    assert offered("-t", "l") == ["large.yaml"]
    assert offered("diff", "small.yaml", "l") == ["large.yaml"]
    assert offered("pp", "--config-template=l") == ["--config-template=large.yaml"]
    monkeypatch.chdir("/")
    assert offered("pp", "-t", "") == []
    assert offered("pp", "-p", str(project), "-t", "s") == ["small.yaml"]


def test_flags_of_the_selected_config(project):
    assert offered("pp", "--st") == ["--start"]
    assert offered("pp", "-t", "large.yaml", "--be") == ["--begin"]
    assert offered("pp", "--mode", "") == ["up", "down"]
    assert paths("pp", "--table", "") == "files"
    assert complete(["pp", "--start"], commands.VERBS, lambda verb: commands).to_lines() == [
        "none",
        "--start\twhere the numbers start",
    ]


def test_a_config_that_cannot_be_read_still_has_the_flags_of_the_verb(project):
    assert "--output" in offered("pp", "-t", "broken.yaml", "--")
    assert offered("graph", "-t", "broken.yaml", "--target", "") == []


@pytest.mark.parametrize("words", [("--target", ""), ("--target", "="), ("--target", "=", "")])
def test_targets_however_the_shell_splits_at_the_equals_sign(project, words):
    assert offered("graph", *words) == ["meta", "dynamic_args", "numbers", "main"]


def test_actions_and_their_flags(project):
    assert offered("project", "") == ["show", "create", "new_config"]
    assert offered("project", "show", "--j") == ["--json"]
    assert offered("project", "new_config", "x.yaml", "--type", "") == ["config", "project", "ws"]
    assert paths("ws", "create", "") == "directories"


def test_paths_of_the_graph_grow_step_by_step(project):
    assert offered("explain", "main.n") == ["main.numbers", "main.nested"]
    assert offered("explain", "main.nested.") == ["main.nested.inner", "main.nested.other", 'main.nested."a.b"']
    assert offered("explain", "main.steps.") == ["main.steps.first", "main.steps.second"]
    assert offered("sweep", "main.nested.i") == ["main.nested.inner"]
    assert offered("graph", "--set", "~main.st") == ["~main.steps"]
    assert offered("graph", "--set", "main.nested.i") == ["main.nested.inner"]
    assert offered("explain", "nowhere.") == []


def test_what_diff_compares(project):
    every = ["broken.yaml", "large.yaml", "small.yaml"]
    assert offered("diff", "") == every and paths("diff", "") == "files"  # also of a run, or a saved graph
    assert offered("diff", "HEAD:") == [f"HEAD:{name}" for name in every]
    assert offered("diff", "a.yaml", "HEAD:l") == ["HEAD:large.yaml"] and paths("diff", "HEAD:") == "none"
    assert offered("diff", f"{project}:l") == [f"{project}:large.yaml"]


def test_bash_splits_at_the_colon_and_wants_the_rest(project):
    assert offered("diff", "HEAD", ":") == ["broken.yaml", "large.yaml", "small.yaml"]
    assert offered("diff", "small.yaml", "HEAD", ":", "l") == ["large.yaml"]


def test_axes_of_a_sweep_are_flags_and_paths(project):
    assert offered("sweep", "m") == ["mode", "meta", "main"]
    assert offered("sweep", "start=1,2", "ta") == ["table"]


def test_codes_of_check(project):
    assert offered("check", "--explain", "FG063") == ["FG0630", "FG0631", "FG0632", "FG0633", "FG0635", "FG0636"]
    assert offered("check", "--select", "FG0631,FG060") == ["FG0631,FG0601", "FG0631,FG0603", "FG0631,FG0604"]
    assert offered("check", "--ignore", "FG05")[:2] == ["FG05", "FG0510"]


def test_a_verb_that_is_not_installed_offers_nothing():
    assert complete(["train", ""], {"train": "x"}, lambda verb: None).to_lines() == ["none"]


def test_the_interactive_shell_offers_its_own_words_and_paths(project):
    def typed(*words: str, config: str = "") -> list[str]:
        return completed_words(words, commands.VERBS, lambda verb: commands, config)

    assert typed("co") == ["code ", "commands ", "config ", "configs ", "construct "]
    assert typed("config", "s") == ["small.yaml "]
    assert typed("cd", "t") == ["templates/"]
    assert typed("edit", "templates/configs/s") == ["templates/configs/small.yaml "]
    (project / "my notes.md").touch()
    assert typed("edit", "my") == ["my\\ notes.md "]
    assert typed("pp", "--be", config="large.yaml") == ["--begin "]
    assert typed("pp", "-o", "meta") == ["meta.yaml "]
