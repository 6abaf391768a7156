"""The verbs that show a project as a whole: index, meta, project, ws, tlist, trefs, ls; and where their text goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fg_config import commands
from fg_config.command_line import main

BASE = """\
-- set ns = namespace()
-- include 'inc/part.yaml'

[metadata]
meta: {config_name: "Base", config_description: "of | all"}
main: 1
"""
TWO = """\
-- extends 'base.yaml'
[metadata]
    -- include 'two.other'

#---- two.other ----
-- extends 'base.yaml'
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    workspace = tmp_path / "forgather_workspace"
    workspace.mkdir()
    (workspace / "common.yaml").write_text("common: 1\n")
    folder = tmp_path / "things"
    (folder / "templates" / "configs").mkdir(parents=True)
    (folder / "templates" / "inc").mkdir()
    (folder / "meta.yaml").write_text('-- extends "record.yaml"\n')
    (workspace / "record.yaml").write_text(
        'name: "Things"\nconfig_prefix: "configs"\nsearchdir: [templates, ../gone]\ndefault_config: "one.yaml"\n'
    )
    templates = folder / "templates"
    (templates / "base.yaml").write_text(BASE)
    (templates / "inc" / "part.yaml").write_text("part: 1\n")
    (templates / "common.yaml").write_text("common: 2\n")
    (templates / "configs" / "one.yaml").write_text("-- extends 'base.yaml'\n")
    (templates / "configs" / "two.yaml").write_text(TWO)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(project, capsys):
    def run(*words: str | Path) -> tuple[int, str, str]:
        code = main(commands, [str(word) for word in words], prog="forgather")
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_meta_shows_its_templates_and_missing_directories(run, project, tmp_path):
    code, out, _ = run("meta")
    assert code == 0
    assert f"1. `{project}/templates` (project)\n2. `{tmp_path}/gone` (library, **missing**)\n" in out
    assert f"3. `{tmp_path}/forgather_workspace` (workspace)" in out
    assert f"- `{project}/meta.yaml`\n- `{tmp_path}/forgather_workspace/record.yaml`\n" in out
    record = json.loads(run("meta", "--json")[1])
    assert record["name"] == "Things" and record["default_config"] == "one.yaml"
    assert [place["exists"] for place in record["search_path"][:3]] == [True, False, True]
    assert json.loads(run("project", "show", "--json")[1])["project_dir"] == str(project)


def test_index_is_the_project_on_one_page(run, project):
    code, out, _ = run("index")
    assert code == 0 and out.startswith("# Things\n")
    assert "| **one.yaml** (default) | Base | of &#124; all |" in out
    (project / "README.md").write_text("# A title of its own\n")
    (project / "templates" / "configs" / "bad.yaml").write_text("{{ nothing }}\n")
    code, out, _ = run("index")
    assert code == 1 and out.startswith("# A title of its own\n")
    assert "| bad.yaml | cannot be read | 'nothing' is not defined" in out
    assert json.loads(run("index", "--json")[1])["readme"] == "# A title of its own\n"


def test_a_readme_in_another_encoding_is_shown_as_far_as_it_can_be(run, project):
    (project / "README.md").write_bytes("# Größe\n".encode("latin-1"))
    out = run("index")[1]
    assert "# Gr\ufffd\ufffde" in out and "## Configs" in out


def test_tlist_files_leave_out_what_is_hidden(run, project, tmp_path):
    names = run("tlist")[1].split()
    assert f"{project}/templates/common.yaml" in names
    assert f"{tmp_path}/forgather_workspace/common.yaml" not in names
    rows = {row["file"]: row for row in json.loads(run("tlist", "--json")[1])}
    assert rows[f"{tmp_path}/forgather_workspace/common.yaml"]["hidden_by"] == f"{project}/templates/common.yaml"
    assert rows[f"{project}/templates/configs/two.yaml"]["templates"] == [
        {"name": "configs/two.yaml", "line": 1, "computed": False, "problem": None, "extends": ["base.yaml"]},
        {"name": "two.other", "line": 6, "computed": False, "problem": None, "extends": ["base.yaml"]},
    ]


def test_tlist_lists_templates_alone(run, project):
    (project / "templates" / "README.md").write_text("# Templates\n")
    (project / "templates" / "model.jinja").write_text("a: 1\n")
    for form in ("files", "md", "json"):
        out = run("tlist", "--format", form)[1]
        assert "README.md" not in out and "model.jinja" in out


def test_tlist_as_a_forest(run, project):
    templates = project / "templates"
    (templates / "a.yaml").write_text("-- extends 'b.yaml'\n")
    (templates / "b.yaml").write_text("-- extends 'a.yaml'\n")
    (templates / "bad.yaml").write_text("-- if\n")
    (templates / "free.yaml").write_text("-- extends parent\n")
    lines = run("tlist", "--format", "md")[1].splitlines()
    at = lines.index("- **base.yaml** (project, `base.yaml`)")
    assert lines[at + 1 : at + 4] == [
        "    - **configs/one.yaml** (project, `configs/one.yaml`)",
        "    - **configs/two.yaml** (project, `configs/two.yaml`)",
        "    - **two.other** (project, `configs/two.yaml`:6)",
    ]
    assert "- **a.yaml** (project, `a.yaml`)" in lines and "    - **b.yaml** (project, `b.yaml`)" in lines
    assert "- **free.yaml** (project, `free.yaml`; extends a name that is computed)" in lines
    assert any(line.startswith("- **bad.yaml** (project, `bad.yaml`; cannot be read: ") for line in lines)


def test_trefs_tells_extends_from_include(run, project):
    found = json.loads(run("trefs", "--json")[1])
    assert [(row["name"], row["used_by"], row["kind"]) for row in found] == [
        ("configs/one.yaml", None, None),
        ("base.yaml", "configs/one.yaml", "extends"),
        ("inc/part.yaml", "base.yaml", "include"),
    ]
    markdown = run("trefs", "--format", "md")[1].splitlines()
    assert markdown[1] == f"    - extends **base.yaml** (`{project}/templates/base.yaml`)"
    assert '"base.yaml" -> "inc/part.yaml" [style=dashed];' in run("trefs", "--format", "dot")[1]
    code, _, _ = run("trefs", "--format", "svg", "-o", "picture.svg")
    picture = (project / "picture.svg").read_text()
    assert code == 0 and picture.startswith("<svg ") and picture.count('class="link') == 4  # two, and two in the legend


def test_ls_of_one_config_and_whole_reports(run, project):
    (project / "templates" / "configs" / "bad.yaml").write_text("a: 1\n\nmain: {{ nothing }}\n")
    assert run("ls", "-t", "two.yaml")[1].splitlines()[1:] == [f"    {'two.yaml':<30} Base : of | all"]
    code, out, _ = run("ls", "-t", "bad.yaml", "-d")
    assert code == 1
    assert "        error[FG02" in out and f"          --> {project}/templates/configs/bad.yaml:3" in out
    code, _, err = run("ls", "-t", "tow.yaml")
    assert code == 2 and "did you mean 'two.yaml'" in err


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["pp", "-t", "two.yaml"], "two_pp.yaml"),
        (["graph", "--format", "python"], "one_graph.py"),
        (["graph", "--format", "fconfig"], "one_graph.txt"),
        (["trefs", "--format", "svg"], "one_trefs.svg"),
        (["targets", "--json"], "one_targets.json"),
        (["meta"], "one_meta.md"),
        (["tlist"], "one_tlist.txt"),
    ],
)
def test_e_writes_a_file_and_opens_it(run, project, monkeypatch, words, file):
    editor = project / "editor"
    editor.write_text('#!/bin/sh\necho "$@" > opened\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    monkeypatch.delenv("VSCODE_IPC_HOOK_CLI", raising=False)
    code, out, _ = run(*words, "-e")
    assert (code, out, (project / "opened").read_text()) == (0, "", f"tmp/{file}\n")
    assert (project / "tmp" / file).read_text() == run(*words)[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["meta", "-o", "no/where.md"], "no such directory: no"),
        (["meta", "-o", "templates"], "a directory, not a file: templates"),
        (["meta", "-p", "/nowhere"], "FG0602"),
        (["ws", "-p", "/"], "FG0601"),
    ],
)
def test_wrong_places_are_one_message(run, words, message):
    code, out, err = run(*words)
    assert (code, out) == (2, "") and message in err and "Traceback" not in err
