"""The verbs that look at configs, on a small workspace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fg_config import commands
from fg_config.command_line import main

PROJECT = """\
-- set ns = namespace()
meta:
    config_name: "[[name]]"
    config_description: "counts"
    config_class: "type.none"
[defaults]
step: &step 2

[arguments]
dynamic_args: !dlist
    start:
        names: ["--start", "-S"]
        type: int
        help: "first number"
    loud:
        names: "--loud-voice"
        action: "store_true"
    mode: {names: "--mode", choices: ["up", "down"]}

numbers: &numbers !call:range [ {{ start | default(0) }}, 10, *step ]
main: !call:dict
    numbers: *numbers
    again: *numbers
    loud: {{ loud_voice | default("unset") }}
    mode: {{ mode | default("up") }}
listing: !partial:list [ *numbers ]
nowhere: !call:no_such_package.here:Thing
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "forgather_workspace").mkdir()
    folder = tmp_path / "counting"
    (folder / "templates" / "configs").mkdir(parents=True)
    (folder / "meta.yaml").write_text('name: "Counting"\ndescription: "Numbers"\ndefault_config: "small.yaml"\n')
    (folder / "templates" / "base.yaml").write_text(PROJECT)
    configs = folder / "templates" / "configs"
    (configs / "small.yaml").write_text("-- extends 'base.yaml'\n")
    (configs / "big.yaml").write_text("-- extends 'base.yaml'\n[defaults]\nstep: &step 5\n\n")
    return folder


@pytest.fixture
def broken(project: Path) -> Path:
    (project / "templates" / "configs" / "broken.yaml").write_text("meta: {name: x}\n\nmain: {{ nothing_here }}\n")
    return project


@pytest.fixture
def run(project, capsys):
    def run(*words: str | Path) -> tuple[int, str, str]:
        argv = [words[0], "-p", project, *words[1:]]
        code = main(commands, [str(word) for word in argv], prog="forgather")
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_ls_shows_the_project_and_its_configs(run):
    code, out, _ = run("ls")
    assert code == 0
    assert out.splitlines() == [
        "Counting : Numbers",
        f"    {'big.yaml':<30} [[name]] : counts",
        f"    {'[small.yaml]':<30} [[name]] : counts",
    ]


def test_ls_reports_a_broken_config_in_one_line_and_fails(broken, run):
    code, out, _ = run("ls")
    assert code == 1
    (line,) = [line for line in out.splitlines() if "broken.yaml" in line]
    assert "PARSE ERROR : " in line and "nothing_here" in line and "broken.yaml:3" in line
    assert "[small.yaml]" in out


def test_ls_as_json(broken, run):
    code, out, _ = run("ls", "--json")
    (listing,) = json.loads(out)
    assert (code, listing["name"], listing["description"]) == (1, "Counting", "Numbers")
    by_name = {entry["config"]: entry for entry in listing["configs"]}
    assert list(by_name) == ["big.yaml", "broken.yaml", "small.yaml"]
    assert by_name["small.yaml"]["default"] and not by_name["big.yaml"]["default"]
    assert by_name["small.yaml"]["config_class"] == "type.none" and by_name["small.yaml"]["error"] is None
    assert "nothing_here" in by_name["broken.yaml"]["error"]


def test_ls_walks_and_names(run, project):
    shutil.copytree(project, project.parent / "more" / "second")
    code, out, _ = run("ls", "-r", project.parent)
    assert code == 0
    paths = [line for line in out.splitlines() if line.startswith("Project Path:")]
    assert paths == [f"Project Path: {project}", f"Project Path: {project.parent}/more/second"]
    assert run("ls", "--names")[1].split() == ["big.yaml", "small.yaml"]


def test_ls_says_which_configs_are_missing_or_ignored(run, project):
    (project / "templates" / "configs" / "other.yml").write_text("main: 1\n")
    (project / "meta.yaml").write_text("default_config: smal.yaml\n")
    code, out, _ = run("ls")
    assert code == 1 and "    small.yaml " in out
    assert "PROBLEM : no config 'smal.yaml' (default_config of meta.yaml)" in out
    assert "did you mean 'small.yaml'?" in out
    assert out.splitlines()[-1] == "    PROBLEM : other.yml is ignored: the name of a config ends in .yaml"
    assert len(json.loads(run("ls", "--json")[1])[0]["problems"]) == 2
    assert run("ls", "-t", "small.yaml")[0] == 0


@pytest.mark.parametrize("default", ["", "default_config: small.yaml\n"])
def test_a_project_without_configs_says_where_they_were_looked_for(run, project, default):
    (project / "meta.yaml").write_text(f"config_prefix: confgs\n{default}")
    code, out, _ = run("ls")
    assert code == 1
    assert f"has no configs ({project}/meta.yaml:1:16); looked for *.yaml in {project}/templates/confgs" in out
    code, out, _ = run("check", "-r")
    assert code == 1 and "FG0604" in out and "1 error in 0 configs" in out
    assert "looked for *.yaml in" in run("pp")[2]


def test_where_no_project_is_those_below_are_named(run, project, monkeypatch):
    for name in ("b c", "d", "e"):
        shutil.copytree(project, project.parent / "labs" / "deep" / name)
    monkeypatch.chdir(project.parent)
    code, _, err = run("ls", project.parent)
    assert code == 2
    assert "choose one below with -p: counting, 'labs/deep/b c', labs/deep/d …; `forgather ls -r` lists all" in err


def test_ls_of_no_project_is_an_error(run, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    code, out, err = run("ls", empty)
    assert (code, out) == (2, "") and "meta.yaml" in err and "Traceback" not in err
    for words in (["ls", "-r", empty], ["ls", "-r", empty / "nowhere"], ["check", "-r", "-p", empty]):
        code, out, err = run(*words)
        assert (code, out) == (2, "") and "no project below" in err


def test_pp_prints_the_text_after_templates(run):
    code, out, _ = run("pp", "-t", "big.yaml", "--start", "3", "--mode", "down")
    assert code == 0
    assert out.startswith("# Dynamic arguments received: {'start': 3, 'mode': 'down'}\n")
    assert "!call:range [ 3, 10, *step ]" in out and "step: &step 5" in out
    assert "Dynamic arguments" not in run("pp")[1]


def test_a_flag_that_was_not_given_stays_undefined(run):
    assert "loud: unset" in run("pp")[1]
    assert "loud: True" in run("pp", "--loud-voice")[1]


def test_no_dyn_takes_the_flags_away(run):
    with pytest.raises(SystemExit) as error:
        run("pp", "--no-dyn", "--start", "3")
    assert error.value.code == 2


def test_flags_are_suggested_not_abbreviated(run, capsys):
    for wrong, right in {"--loud": "--loud-voice", "--strat": "--start", "--ouput": "--output"}.items():
        with pytest.raises(SystemExit) as error:
            run("pp", wrong)
        assert error.value.code == 2
        assert f"'{wrong}': did you mean '{right}'" in capsys.readouterr().err


def test_a_config_without_flags_is_said_to_have_none(run, project, capsys):
    (project / "templates" / "configs" / "bare.yaml").write_text("main: 1\n")
    for wrong, hints in {"--steps": 1, "--taget": 2}.items():
        with pytest.raises(SystemExit):
            run("construct", "-t", "bare.yaml", wrong, "3")
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  help: ")]
        assert told[0] == "  help: the config 'bare.yaml' declares no flags of its own"
        assert len(told) == hints and ("'--target'" in told[-1]) == (wrong == "--taget")


def test_a_missing_kind_of_schema_is_called_by_its_choices(run, capsys):
    with pytest.raises(SystemExit):
        run("schema")
    assert "required: meta|dynamic_args|target" in capsys.readouterr().err


def test_choices_are_suggested(run, capsys):
    with pytest.raises(SystemExit):
        run("pp", "--mode", "dwon")
    assert "'dwon' is none of up, down; did you mean 'down'?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("graph", "--format", "yml")
    assert "did you mean 'yaml'?" in capsys.readouterr().err


def test_help_shows_the_flags_of_the_config_also_when_it_is_broken(broken, run, capsys):
    with pytest.raises(SystemExit) as error:
        run("pp", "--help")
    assert error.value.code == 0 and "first number" in capsys.readouterr().out
    with pytest.raises(SystemExit) as error:
        run("pp", "-t", "broken.yaml", "--help")
    out = capsys.readouterr().out
    assert error.value.code == 0 and "--output" in out and "nothing_here" in out.replace("\n", " ")


def test_targets_in_the_order_of_the_config(run):
    names = ["meta", "step", "dynamic_args", "numbers", "main", "listing", "nowhere"]
    assert run("targets") == (0, "\n".join(names) + "\n", "")
    assert json.loads(run("targets", "--json")[1]) == names


def test_graph_in_every_format(run, tmp_path):
    from fg_config import ConfigEnvironment

    saved = json.loads(run("graph", "--format", "json")[1])
    assert saved["$"] == "map"
    yaml = run("graph")[1]
    assert ConfigEnvironment().load_from_string(yaml).graph.to_json() == saved
    assert "dict(numbers=alpha, again=alpha" not in yaml
    python = run("graph", "--format", "python")[1]
    assert "numbers = range(0, 10, 2)" in python and "def construct():" in python
    outline = run("graph", "--format", "repr")[1]
    assert "!call:range" in outline and "base.yaml:" in outline and "the same as above" in outline
    assert run("graph", "--format", "none") == (0, "", "")
    assert "Thing" not in run("graph", "--target", "main")[1]


def test_output_goes_to_a_file(run, tmp_path):
    assert run("graph", "--format", "python", "-o", tmp_path / "main.py") == (0, "", "")
    namespace: dict = {}
    exec((tmp_path / "main.py").read_text(), namespace)
    built = namespace["construct"]()
    assert built["numbers"] is built["again"] == range(0, 10, 2)


def test_output_follows_links_and_writes_into_pipes(run, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept/file")
    assert run("targets", "-o", tmp_path / "link")[0] == 0
    assert (tmp_path / "link").is_symlink() and (tmp_path / "kept" / "file").read_text().split()[-2:] == [
        "listing",
        "nowhere",
    ]
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True)
    assert run("targets", "-o", tmp_path / "pipe")[0] == 0
    assert reader.communicate(timeout=60)[0] == (tmp_path / "link").read_text()


def test_code_of_a_target(run):
    assert "partial(list, range(4, 10, 2))" in run("code", "--target", "listing", "--start", "4")[1]
    code, out, err = run("code", "--target", "listin")
    assert (code, out) == (2, "") and "'listing'" in err


def test_construct_builds_and_calls(run):
    assert run("construct", "--start", "8") == (
        0,
        "{'numbers': range(8, 10, 2),\n 'again': range(8, 10, 2),\n 'loud': 'unset',\n 'mode': 'up'}\n",
        "",
    )
    assert run("construct", "--target", "listing", "--call")[1] == "[0, 2, 4, 6, 8]\n"
    code, out, err = run("construct", "--call")
    assert (code, out) == (2, "") and "'main' builds to an object of the type 'dict', which cannot be called" in err
    assert "FG0414" in err and "base.yaml:" in err


def test_trefs_in_every_format(run, project):
    base, small = project / "templates" / "base.yaml", project / "templates" / "configs" / "small.yaml"
    assert run("trefs")[1].split() == [str(small), str(base)]
    assert run("trefs", "--format", "tree")[1] == "configs/small.yaml\n    base.yaml\n"
    assert '"configs/small.yaml" -> "base.yaml";' in run("trefs", "--format", "dot")[1]
    assert json.loads(run("trefs", "--json")[1]) == [
        {"name": "configs/small.yaml", "file": str(small), "used_by": None, "kind": None},
        {"name": "base.yaml", "file": str(base), "used_by": "configs/small.yaml", "kind": "extends"},
    ]


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
def test_dot_output_is_accepted_by_graphviz(run):
    dot = run("trefs", "--format", "dot")[1]
    assert (
        b"<svg"
        in subprocess.run(["dot", "-Tsvg"], input=dot.encode(), capture_output=True, check=True, timeout=60).stdout
    )


@pytest.mark.parametrize("verb", ["pp", "targets", "graph", "code", "trefs", "construct"])
def test_a_mistake_is_a_message_with_its_place(broken, run, verb):
    code, out, err = run(verb, "-t", "broken.yaml")
    assert (code, out) == (2, "")
    assert "nothing_here" in err and "broken.yaml:3" in err and "Traceback" not in err


def test_a_misspelt_config_gets_a_near_match(run):
    code, _, err = run("pp", "-t", "smal.yaml")
    assert code == 2 and "small.yaml" in err


def test_inspecting_imports_nothing_that_the_config_names(project, run):
    (project / "templates" / "configs" / "trap.yaml").write_text(
        "-- extends 'base.yaml'\n[defaults]\nstep: &step 1\ntrap: !call:this:d []\n\n"
    )

    for words in (
        ["ls"],
        ["targets"],
        ["pp"],
        ["trefs"],
        *(["graph", "--format", f] for f in ("yaml", "json", "python")),
    ):
        verb, *rest = words
        assert run(verb, *([] if verb == "ls" else ["-t", "trap.yaml"]), *rest)[0] == 0
        assert "this" not in sys.modules


def test_the_graph_as_an_outline_has_two_names(run):
    assert run("graph", "--format", "fconfig") == run("graph", "--format", "repr")


def test_the_graph_with_the_templates_behind_it(run):
    plain, debug = run("graph")[1], run("graph", "-d")[1]
    assert debug.startswith(plain) and "#==== configs/" in debug.removeprefix(plain)
    assert run("graph", "--format", "none")[1] == "" and run("graph", "--format", "none", "-d")[1].startswith("#==== ")
