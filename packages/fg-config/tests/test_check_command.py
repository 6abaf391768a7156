"""`check` as a command: which configs, which findings, in which form, with which exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fg_config import check, commands
from fg_config.command_line import main
from fg_config.lint.codes import CODES

META = "meta: { config_name: c }\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "forgather_workspace").mkdir()
    folder = tmp_path / "project"
    (folder / "templates" / "configs").mkdir(parents=True)
    (folder / "meta.yaml").write_text("default_config: good.yaml\n")
    return folder


@pytest.fixture
def write(project):
    def write(name: str, text: str, folder: Path = project) -> Path:
        path = folder / "templates" / "configs" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(META + text)
        return path

    write("good", "a: 1\n")
    return write


@pytest.fixture
def run(project, capsys):
    def run(*words: str | Path) -> tuple[int, str, str]:
        code = main(commands, [str(word) for word in ("check", "-p", project, *words)], prog="forgather")
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_clean_config_is_said_to_be_clean(write, run):
    assert run() == (0, "nothing found in 1 config\n", "")


def test_a_finding_has_its_code_its_place_and_its_remedy(write, run):
    write("good", "a: 1\nlr: 1e-3\n")
    code, out, _ = run()
    assert code == 1
    assert out.splitlines() == [
        "warning[FG0320]: 1e-3 is read as text, not as a number",
        "  --> project/templates/configs/good.yaml:3:5",
        "   |  lr: 1e-3",
        "  help: write 1.0e-3, or '1e-3' in quotes if it is text",
        "",
        "1 warning in 1 config",
    ]


def test_notes_alone_are_no_reason_to_fail(write, run):
    write("good", "a: !var x\n")
    code, out, _ = run()
    assert (code, out.splitlines()[0][:12], out.splitlines()[-1]) == (0, "note[FG0421]", "1 note in 1 config")


def test_one_config_all_configs_and_all_projects(write, run, project):
    write("one", "a: 1e1\n")
    write("two", "a: 1e2\n")
    write("three", "a: 1e3\n", project / "inner")
    (project / "inner" / "meta.yaml").write_text("default_config: three.yaml\n")
    assert run()[0] == 0
    assert "1e1" in run("-t", "one.yaml")[1]
    assert run("--all")[1].splitlines()[-1] == "2 warnings in 3 configs"
    assert run("-r")[1].splitlines()[-1] == "3 warnings in 4 configs"


def test_a_template_that_configs_share_is_reported_once_with_their_names(write, run, project):
    (project / "templates" / "base.yaml").write_text("lr: 1e-3\n[x]\n\n")
    for name in ("good", "other"):
        (project / "templates" / "configs" / f"{name}.yaml").write_text("-- extends 'base.yaml'\n[x]\n" + META + "\n")
    _, out, _ = run("--all", "--json")
    (finding,) = json.loads(out)["findings"]
    assert (finding["configs"], finding["place"]["line"]) == (["good.yaml", "other.yaml"], 1)


def test_mistakes_that_stop_reading_come_with_what_was_seen_before(write, run):
    write("good", "lr: 1e-3\na: !cal:f []\n")
    code, out, _ = run()
    assert code == 1
    assert [line.split(":")[0] for line in out.splitlines() if "[FG" in line] == ["warning[FG0320]", "error[FG0305]"]


def test_findings_are_sorted_by_place(write, run):
    write("good", "a: 1e1\nb: 1e2\nc: 1e3\n")
    lines = [finding["place"]["line"] for finding in json.loads(run("--json")[1])["findings"]]
    assert lines == [2, 3, 4]


def test_selecting_and_ignoring(write, run):
    write("good", "-- set unused = 1\na: 1e1\n")
    assert "FG0211" in run("--select", "FG02")[1] and "FG0320" not in run("--select", "FG02")[1]
    assert run("--ignore", "FG0320,FG02") == (0, "nothing found in 1 config\n", "")


def test_codes_that_do_not_exist_are_refused(write, run, capsys):
    for words in (["--select", "FG99"], ["--explain", "FG9999"]):
        with pytest.raises(SystemExit) as error:
            run(*words)
        assert error.value.code == 2 and words[1] in capsys.readouterr().err


def test_a_comment_suppresses_a_finding_and_changes_nothing_else(write, run):
    from fg_config import Project

    path = write("good", "## check: ignore FG03 on purpose\na: 1e1\nb: 1e2  ## check: ignore FG0320\nc: 1e3\n")
    findings = json.loads(run("--json")[1])["findings"]
    assert [finding["place"]["line"] for finding in findings] == [5]
    assert Project("good.yaml", path.parents[2]).graph.at("b") == "1e2"


def test_a_comment_suppresses_only_its_code_and_its_line(write, run):
    write("good", "a: 1e1  ## check: ignore FG0321\nb: 1e2  ## check: ignore FG0320\nc: 1e3\n")
    findings = json.loads(run("--json")[1])["findings"]
    assert [finding["place"]["line"] for finding in findings] == [2, 4]


def test_codes_are_explained(write, run):
    code, out, _ = run("--explain", "FG0320")
    assert code == 0 and out.startswith("warning[FG0320]: number read as text\n") and "1.0e-3" in out
    assert len(run("--explain", "all")[1].splitlines()) == len(CODES)


def test_a_copied_list_is_a_doubt_only_when_its_copies_differ(write, run):
    for node, severity in {"!factory:list []": "warning", "!call:list []": "note"}.items():
        write("good", f"a: &a [ {node} ]\nb: !call:dict {{ x: *a }}\nc: !call:dict {{ x: *a }}\n")
        assert run()[1].startswith(f"{severity}[FG0424]: this plain list of nodes is copied")


def test_lint_is_the_same(write, project, capsys):
    write("good", "a: 1e1\n")
    outputs = []
    for verb in ("check", "lint"):
        assert main(commands, [verb, "-p", str(project)], prog="forgather") == 1
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_the_report_goes_to_a_file(write, run, tmp_path):
    write("good", "a: 1e1\n")
    assert run("--json", "-o", tmp_path / "report.json") == (1, "", "")
    assert json.loads((tmp_path / "report.json").read_text())["findings"][0]["code"] == "FG0320"


def test_one_odd_project_is_one_finding(write, run, tmp_path, project):
    lab = tmp_path / "lab"
    for folder in (lab / "outside", lab / "inside" / "one", lab / "inside" / "scaffold"):
        write("good", "", folder)
        (folder / "meta.yaml").write_text("default_config: good.yaml\n")
    (lab / "inside" / "scaffold" / "meta.yaml").write_text("name: @quoted_name@\n")
    (lab / "inside" / "forgather_workspace").mkdir()
    (tmp_path / "forgather_workspace").rmdir()
    code, out, err = run("-r", "-p", lab)
    assert (code, err) == (1, "")
    assert out.count("FG0601") == 1 and "scaffold" not in out
    assert out.splitlines()[-1] == "1 error in 1 config"


def test_a_config_of_another_suffix_is_a_finding(write, run, project):
    (project / "templates" / "configs" / "more.yml").write_text("main: 1\n")
    out = run()[1]
    assert "FG0636" in out and "more.yml is ignored: the name of a config ends in .yaml" in out
    assert "help: call it more.yaml" in out


def test_what_is_no_project_cannot_be_checked(run, tmp_path, project):
    (project / "meta.yaml").unlink()
    code, out, err = run()
    assert (code, out) == (2, "") and "FG0602" in err


def test_a_project_outside_a_workspace_is_a_finding(write, project, tmp_path):
    (tmp_path / "forgather_workspace").rmdir()
    (finding,) = check(project)
    assert (finding.code, finding.severity) == ("FG0601", "error")


def test_flags_of_a_config_may_not_be_those_of_a_verb(write, run):
    write("good", "dynamic_args: [ { names: '--target' } ]\n")
    assert "which the command itself has" in run()[1]


def test_nothing_is_imported_unless_signatures_are_asked_for(write, run, project):
    (project / "trap.py").write_text("from pathlib import Path\nPath('sprung').touch()\ndef f(): ...\n")
    write("good", "a: !call:trap.py:f { x: 1 }\nb: !call:this:d []\n")
    assert run("--all")[0] == 0 and not Path("sprung").exists()
    code, out, _ = run("--signatures")
    assert (code, "takes no keyword 'x'" in out) == (1, True)
    assert not {"trap", "this"} & set(sys.modules)


def test_signatures_are_asked_for_under_the_import_policy(write, run):
    write("good", "a: !call:shutil:which { cmd: 1, way: 2 }\n")
    assert "error[FG0515]" in run("--signatures")[1]
    for words in (["--trust"], ["--allow", "shutil"]):
        out = run("--signatures", *words)[1]
        assert "FG0515" not in out and "shutil:which takes no keyword 'way'" in out


def test_a_meta_file_with_a_mistake_is_a_finding_without_words_of_its_own(write, run, project):
    (project / "meta.yaml").write_text("searchpath: [ templates ]\n")
    code, out, err = run()
    assert (code, err) == (1, "") and out.startswith("warning[FG0630]: nobody reads the key 'searchpath'")


def test_a_module_that_hangs_or_crashes_is_a_finding(write, project):
    from fg_config.lint.checking import CheckOptions

    (project / "crash.py").write_text("import os\nos._exit(3)\n")
    (project / "hang.py").write_text("import threading\nthreading.Event().wait()\n")
    write("good", "a: !call:crash.py:f []\nb: !call:hang.py:f []\n")
    found = check(project, ["good.yaml"], CheckOptions(signatures=True, timeout=3))
    assert [(finding.code, finding.span and finding.span.line) for finding in found] == [("FG0516", 2), ("FG0516", 3)]
    assert "exit code 3" in found[0].message


# --- SARIF --------------------------------------------------------------------------------------------------------


def test_sarif_names_rule_level_file_and_region(write, run, project):
    path = write("good", "a: 1e1\n-- include 'configs/part b.yaml'\n\n")
    write("part b", "").write_text("x: 1e5\n")
    code, out, _ = run("--sarif")
    log = json.loads(out)
    (job,) = log["runs"]
    rules = job["tool"]["driver"]["rules"]
    first, second = job["results"]
    assert (code, log["version"], log["$schema"].rpartition("/")[2]) == (1, "2.1.0", "sarif-schema-2.1.0.json")
    assert [rule["id"] for rule in rules] == sorted(CODES)
    assert all(rules[each["ruleIndex"]]["id"] == each["ruleId"] == "FG0320" for each in (first, second))
    assert (first["level"], first["message"]["text"].splitlines()[0]) == (
        "warning",
        "1e1 is read as text, not as a number",
    )
    place = first["locations"][0]["physicalLocation"]
    base = job["originalUriBaseIds"][place["artifactLocation"]["uriBaseId"]]["uri"]
    assert base + place["artifactLocation"]["uri"] == path.as_uri()
    assert place["region"] == {"startLine": 2, "startColumn": 4}
    related = second["relatedLocations"][0]["physicalLocation"]
    assert second["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith("part%20b.yaml")
    assert (related["artifactLocation"]["uri"], related["region"]["startLine"]) == (
        "project/templates/configs/good.yaml",
        3,
    )
