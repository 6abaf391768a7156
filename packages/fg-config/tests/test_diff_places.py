"""`diff` names the lines that a person would edit: assignments behind an expression, nodes behind an alias."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fg_config import commands
from fg_config.command_line import main

BASE = """\
-- set ns = namespace(lr=1, scale=2)
meta: { config_name: x }
[globals]
-- set ns.lr = lr | default(3)

[parts]
.part: &part !call:math:sqrt [ 4 ]

[use]
first: *part

[rest]
rate: {{ ns.lr * ns.scale }}
same: {{ ns.scale }}

"""
A = "-- extends 'base.yaml'\n"
B = """\
-- extends 'base.yaml'
[globals]
-- set ns.lr = 5

[parts]
.part: &part !call:math:exp [ 4 ]

"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch, capsys):
    project = tmp_path / "project"
    (tmp_path / "forgather_workspace").mkdir()
    (project / "templates" / "configs").mkdir(parents=True)
    files = {"meta.yaml": "default_config: a.yaml\n", "templates/base.yaml": BASE}
    for name, text in {**files, "templates/configs/a.yaml": A, "templates/configs/b.yaml": B}.items():
        (project / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(project)
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))

    def run(*words: str) -> str:
        assert main(commands, ["diff", *words], prog="forgather") == 1
        return capsys.readouterr().out

    return run


def test_the_assignments_that_differ_are_named_and_the_others_are_not(run):
    assert (
        "~ rate: 6 -> 10\n    templates/base.yaml:13\n    set at templates/base.yaml:4 -> templates/configs/b.yaml:3\n"
    ) in run("a.yaml", "b.yaml")
    (rate,) = (each for each in json.loads(run("a.yaml", "b.yaml", "--json"))["changes"] if each["path"] == "rate")
    places = [[Path(at["file"]).name, at["line"]] for side in ("old", "new") for at in rate[side]["set_at"]]
    assert places == [["base.yaml", 4], ["b.yaml", 3]]


def test_another_node_behind_an_alias_has_the_line_that_it_is_written_on(run):
    assert (
        "! first: !call:math:sqrt -> !call:math:exp\n    templates/base.yaml:7:8 -> templates/configs/b.yaml:6:8\n"
    ) in run("a.yaml", "b.yaml")


def test_what_a_flag_changes_was_assigned_on_one_line(run):
    Path("templates/configs/a.yaml").write_text(
        f"{A}[rest]\n== super()\ndynamic_args: {{ lr: {{ names: --lr, type: int }} }}\n\n"
    )
    out = run("--lr", "8")
    assert "~ rate: 6 -> 16\n    templates/base.yaml:13\n" in out
    assert "set at" not in out
