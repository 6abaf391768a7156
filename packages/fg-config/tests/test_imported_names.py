"""`imports`: what a target would import, found without importing it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fg_config import commands
from fg_config.command_line import main

CONFIG = """\
meta: !call:statistics:mean [[1]]
main: !call:colorsys:rgb_to_hls
    r: &number !call:code.py:number []
    g: *number
    b: !call:os:system [ls]
rest:
    - !partial:no_such_library:f {x: !call:.relative:Part []}
    - !call:gone.py:f []
    - !call:yaml:safe_load [""]
    - !var {name: v, default: !factory:fractions:Fraction [1]}
    - !list [!call:fg_config:from_project ["OTHER", b.yaml, [y, z], false, {what: cmath}]]
    - !call:fg_config:from_project {project_dir: !var place}
    - !call:fg_config:from_project {project_dir: /nowhere}
good: !call:math:sqrt [4]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "forgather_workspace").mkdir()
    for name, config, text in (
        ("here", "a.yaml", CONFIG.replace("OTHER", str(tmp_path / "there"))),
        (
            "there",
            "b.yaml",
            "y: !call:{{ what }}:sqrt [1]\nz: !call:fg_config:from_project ['HERE', a.yaml, good]\n",
        ),
    ):
        (tmp_path / name / "templates" / "configs").mkdir(parents=True)
        (tmp_path / name / "meta.yaml").write_text(f"name: {name}\n")
        (tmp_path / name / "templates" / "configs" / config).write_text(text.replace("HERE", str(tmp_path / "here")))
    (tmp_path / "here" / "code.py").write_text("raise SystemExit('imported')\n")
    return tmp_path / "here"


@pytest.fixture
def imports(project: Path, capsys: pytest.CaptureFixture[str]):
    def imports(target: str, *words: str) -> tuple[int, str]:
        code = main(commands, ["imports", "-p", str(project), "--target", target, *words], prog="forgather")
        return code, capsys.readouterr().out

    return imports


def test_every_name_comes_once_with_its_line_and_what_the_policy_says(imports, project):
    code, out = imports("main", "--json")
    found = json.loads(out)
    assert code == 1
    assert [(each["spec"], each["finding"], each["line"]) for each in found] == [
        ("colorsys:rgb_to_hls", "unknown", 2),
        ("code.py:number", "allowed", 3),
        ("os:system", "denied", 5),
    ]
    assert {each["file"] for each in found} == {str(project / "templates" / "configs" / "a.yaml")}
    assert (found[0]["module"], found[0]["symbol"], found[0]["distribution"]) == ("colorsys", "rgb_to_hls", None)
    assert "colorsys" not in sys.modules


def test_what_is_missing_and_what_only_source_imports(imports):
    found = {each["spec"]: each for each in json.loads(imports("rest", "--json")[1])}
    findings = {spec: each["finding"] for spec, each in found.items()}
    assert findings["no_such_library:f"] == findings["gone.py:f"] == "missing"
    assert findings[".relative:Part"] == "source"
    assert findings["fractions:Fraction"] == "allowed"
    assert (findings["yaml:safe_load"], found["yaml:safe_load"]["distribution"]) == ("unknown", "PyYAML")


def test_other_projects_are_followed_when_their_arguments_are_plain(imports, project):
    found = json.loads(imports("rest", "--json")[1])
    (inner,) = [each for each in found if each["spec"] == "cmath:sqrt"]
    assert (inner["finding"], inner["file"]) == ("allowed", f"{project.parent}/there/templates/configs/b.yaml")
    unfollowed = [each for each in found if each["module"] == "another project"]
    assert [(each["finding"], each["line"]) for each in unfollowed] == [("unknown", 12), ("denied", 13)]
    assert [each["spec"] for each in found].count("math:sqrt") == 1


def test_a_clean_target_ends_with_success_also_after_a_decision(imports):
    code, out = imports("good")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [["finding", "name"], ["allowed", "math:sqrt"]]
    assert imports("meta")[0] == 0
    assert imports("main", "--allow", "colorsys", "--allow", "os")[0] == 0
    assert imports("main", "--trust")[0] == 0
