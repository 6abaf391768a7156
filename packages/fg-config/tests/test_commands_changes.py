"""The verbs `diff` and `sweep`: what they compare, what they print, how they end."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg_config import Project, commands, save_run_record
from fg_config.changes.axes import split_values
from fg_config.command_line import main

CONFIG = """\
-- set out = output_dir | default(joinpath(project_dir, 'out'))
meta: { config_name: base, output_dir: {{ out }}, time: {{ filetime() }} }
args: &args !call:dict { seed: 1, lr: {{ lr | default(0.1) }}, betas: [0.9, 0.95], logs: "{{ out }}/logs" }
main: !call:dict { args: *args, loud: {{ loud | default(false) }} }
dynamic_args: !dlist
    lr: { names: "--lr", type: float }
    loud: { names: ["--loud-voice"], dest: loud, action: store_true }
    more: { names: "--more", nargs: "*" }
"""


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    folder = tmp_path / "space" / "one"
    (tmp_path / "space" / "forgather_workspace").mkdir(parents=True)
    (tmp_path / "space" / "forgather_workspace" / "README.md").write_text("git keeps no empty directory\n")
    configs = folder / "templates" / "configs"
    configs.mkdir(parents=True)
    (folder / "meta.yaml").write_text("name: P\ndefault_config: a.yaml\n")
    (configs / "a.yaml").write_text(CONFIG)
    (configs / "b.yaml").write_text(CONFIG.replace("seed: 1", "seed: 2"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(project, capsys):
    def run(*words: object) -> tuple[int, str, str]:
        code = main(commands, [str(word) for word in words], prog="forgather")
        return code, *capsys.readouterr()

    return run


def changes(out: str) -> list[tuple[str, str]]:
    return [(change["kind"], change["path"]) for change in json.loads(out)["changes"]]


# --- diff -----------------------------------------------------------------------------------------------------------


def test_two_configs(run, project):
    code, out, _ = run("diff", "a.yaml", "b.yaml")
    assert (code, out.splitlines()) == (
        1,
        [
            "--- a.yaml",
            "+++ b.yaml",
            "~ args.seed: 1 -> 2",
            "    templates/configs/a.yaml:3:32 -> templates/configs/b.yaml:3:32",
            "1 changed",
        ],
    )
    assert run("diff", "a.yaml", "a.yaml") == (0, "no difference\n", "")


def test_the_selected_config_with_what_was_given(run):
    code, out, _ = run("diff", "--lr", "0.5", "--set", "args.seed=7", "--json")
    assert (code, changes(out)) == (1, [("changed", "args.lr"), ("changed", "args.seed")])
    new = json.loads(out)["changes"][1]["new"]
    assert (new["value"], new["file"], new["line"]) == (7, "--set", 1)
    assert changes(run("diff", "b.yaml", "--set", "args.seed=2", "--json")[1]) == []
    assert run("diff")[0] == 0


def test_a_project_directory_and_a_config_in_one(run, project):
    other = project.parent / "two"
    shutil.copytree(project, other)
    code, out, _ = run("diff", other, f"{other}:b.yaml", "--json")
    assert (code, changes(out)) == (1, [("changed", "args.seed")])


def test_runs_and_saved_graphs(run, project):
    save_run_record(Project("a.yaml", project, lr=0.2), project / "runs" / "one")
    code, out, _ = run("diff", "runs/one", "--json")
    assert code == 1 and ("changed", "args.lr") in changes(out)
    old = next(change["old"] for change in json.loads(out)["changes"] if change["path"] == "args.lr")
    assert (old["value"], Path(old["file"]).name, old["line"]) == (0.2, "a.yaml", 3)
    shutil.copy(project / "runs" / "one" / "graph.json", project / "kept.json")
    assert run("diff", "kept.json", "runs/one")[0] == 0
    (project / "kept.json").write_text('{"$": "map"}')
    code, out, err = run("diff", "kept.json", "a.yaml")
    assert (code, out) == (2, "") and "damaged at $" in err


def commit_all(folder: Path) -> None:
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=folder, check=True)


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@needs_git
def test_commits_are_read_without_touching_the_working_tree(run, project):
    commit_all(project.parent)
    config = project / "templates" / "configs" / "a.yaml"
    config.write_text(CONFIG.replace("seed: 1", "seed: 3") + "new: !call:dict\n")
    (project / "untracked").write_text("stays")
    before = subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True).stdout
    code, out, err = run("diff", "HEAD:", "--json")
    assert not err
    # Output directories hold the project's path: only what was edited differs.
    assert (code, changes(out)) == (1, [("added", "new"), ("changed", "args.seed")])
    old = json.loads(out)["changes"][1]["old"]
    assert (old["value"], old["file"], old["line"]) == (1, "HEAD:one/templates/configs/a.yaml", 3)
    assert run("diff", "HEAD:a.yaml", "HEAD:a.yaml")[0] == 0
    assert changes(run("diff", "HEAD:b.yaml", "HEAD:a.yaml", "--json")[1]) == [("changed", "args.seed")]
    assert subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True).stdout == before
    assert (project / "untracked").read_text() == "stays" and "seed: 3" in config.read_text()


@needs_git
def test_a_mistake_in_a_commit_is_told_by_its_place_there(run, project):
    configs = project / "templates" / "configs"
    (configs / "bad.yaml").write_text("main: {{ nothing }}\n")
    (project / "data").symlink_to("/nowhere/at/all")  # a link to an absolute path is an ordinary file for git
    commit_all(project.parent)
    (configs / "bad.yaml").unlink()
    (project / "meta.yaml").write_text("name: still readable\n")
    code, out, err = run("diff", "HEAD:bad.yaml", "a.yaml")
    assert (code, out) == (2, "")
    assert err.splitlines()[1:3] == ["  --> HEAD:one/templates/configs/bad.yaml:1", "   |  main: {{ nothing }}"]
    assert f"no config 'c.yaml' in {project}\n" in run("diff", "HEAD:c.yaml", "a.yaml")[2]
    shutil.copytree(project, project.parent / "new", symlinks=True)
    code, _, err = run("diff", "-p", project.parent / "new", "HEAD:a.yaml", "a.yaml")
    assert code == 2 and "there is no project new in the commit HEAD" in err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["c.yaml"], "'c.yaml' names nothing to compare"),
        (["a.yml"], "did you mean 'a.yaml'"),
        (["nothing:a.yaml", "a.yaml"], "'nothing' is neither a directory nor a commit"),
        (["a.yaml", "b.yaml", "a.yaml"], "diff takes two"),
    ],
)
def test_what_names_nothing(run, words, reason):
    code, out, err = run("diff", *words)
    assert (code, out) == (2, "") and reason in err and "Traceback" not in err


def test_what_is_named_whole_is_compared_from_anywhere(run, project, tmp_path, monkeypatch):
    save_run_record(Project("a.yaml", project), project / "run")
    (project / "templates" / "configs" / "a.yaml").write_text("main: {{ nothing }}\n")
    assert run("diff", "run", "b.yaml")[0] == 1  # whatever became of the selected config
    monkeypatch.chdir(tmp_path)
    assert run("diff", project / "run", f"{project}:b.yaml")[0] == 1
    code, out, err = run("diff", project / "run", "--lr", "3")
    assert (code, out) == (2, "") and "no project at or above" in err
    monkeypatch.chdir(project)
    assert "'nothing' is not defined" in run("diff", "run", "--lr", "3")[2]


@pytest.mark.parametrize("words", [["--lr", "3"], ["--set", "args.seed=3"]])
def test_what_would_change_nothing_is_refused(run, words):
    code, out, err = run("diff", "a.yaml", "b.yaml", *words)
    assert (code, out) == (2, "") and "change the selected config" in err


def test_code_is_a_unified_diff_of_the_source(run):
    code, out, _ = run("diff", "a.yaml", "b.yaml", "--code")
    assert code == 1 and out.startswith("--- a.yaml\n+++ b.yaml\n@@ ")
    told = [line for line in out.splitlines() if line[:2] in ("- ", "+ ")]
    assert [line[0] for line in told] == ["-", "+"] and all("seed=" in line for line in told)
    assert "seed=2" in out and "seed=1" in out
    assert run("diff", "a.yaml", "a.yaml", "--code") == (0, "no difference\n", "")


# --- sweep ----------------------------------------------------------------------------------------------------------


def test_a_sweep_shows_what_each_combination_changes(run, project):
    code, out, _ = run("sweep", "lr=1e-3,0.1", "args.seed=1,2")
    assert code == 0
    assert out.splitlines() == [
        "                args.lr  args.seed  output_dir",
        f"(as it is)      0.1      1          {project}/out",
        f"lr=1e-3,seed=1  0.001    1          {project}/out-lr=1e-3,seed=1",
        f"lr=1e-3,seed=2  0.001    2          {project}/out-lr=1e-3,seed=2",
        f"lr=0.1,seed=1   0.1      1          {project}/out-lr=0.1,seed=1",
        f"lr=0.1,seed=2   0.1      2          {project}/out-lr=0.1,seed=2",
    ]


def test_a_table_has_what_is_added_and_what_is_long(run):
    lines = run("sweep", "+args.name=short," + "x" * 50, "args.betas=[1]")[1].splitlines()
    assert lines[0].split() == ["args.betas.0", "args.betas.1", "args.name", "output_dir"]
    assert lines[1].split()[3:6] == ["0.9", "0.95", "-"]
    assert lines[2].split()[1:4] == ["1", "-", "short"]
    assert lines[3].split()[3] == f"{'x' * 31}…"


def test_rows_as_json_have_their_own_output_directory(run, project):
    _, out, err = run("sweep", "lr=1,2", "args.betas=[1, 2],[3]", "loud-voice=on,off", "--json")
    assert not err
    rows = json.loads(out)
    assert len(rows) == 8 and len({row["output_dir"] for row in rows}) == 8
    assert [row["name"] for row in rows[:3]] == [
        "lr=1,betas=[1, 2],loud-voice=on",
        "lr=1,betas=[1, 2],loud-voice=off",
        "lr=1,betas=[3],loud-voice=on",
    ]
    assert rows[0]["dynamic_args"] == {"lr": 1.0, "loud": True}
    assert rows[1]["dynamic_args"] == {"lr": 1.0}
    directory = rows[0]["output_dir"]
    assert directory == f"{project}/out-lr=1,betas=-1,-2-,loud-voice=on"
    assert ["--set", f"args.logs={directory}/logs"] in rows[0]["overrides"]


def test_rows_never_share_a_directory(run, project):
    rows = json.loads(run("sweep", 'args.betas=["a b"],["a/b"],[a:b],[c]', "--json")[1])
    directories = [row["output_dir"] for row in rows]
    assert len(set(directories)) == 4 and directories[3] == f"{project}/out-betas=-c-"
    assert all(Path(directory).parent == project for directory in directories)


def test_the_flag_for_the_output_directory_is_used_where_there_is_one(run, project):
    config = project / "templates" / "configs" / "a.yaml"
    config.write_text(CONFIG + '    dir: { names: "--output-dir", type: path }\n')
    (row,) = json.loads(run("sweep", "args.seed=5", "--json")[1])
    assert row["overrides"] == [["--set", "args.seed=5"]]
    assert row["dynamic_args"] == {"output_dir": f"{project}/out-seed=5"} and "--output-dir" in " ".join(row["command"])
    (row,) = json.loads(run("sweep", "output-dir=/tmp/mine", "--json")[1])
    assert row["output_dir"] == "/tmp/mine"


@pytest.mark.parametrize("form", ["table", "commands", "json"])
def test_combinations_that_would_write_into_one_directory_are_refused(run, project, form):
    config = project / "templates" / "configs" / "a.yaml"
    config.write_text(CONFIG + '    dir: { names: "--output-dir", type: path }\n')
    code, out, err = run("sweep", "lr=1,2", "output_dir=/a,/b", "--format", form)
    assert (code, out) == (2, "")
    assert "FG0657" in err and "'lr=1,output_dir=/a' and 'lr=2,output_dir=/a' would both write into /a" in err


def test_commands_are_the_rows(run, project, capsys):
    code, out, _ = run(
        "sweep", "args.seed=1,2", "--lr", "-3.5", "--loud-voice", "--more", "a b", "--format", "commands"
    )
    lines = out.splitlines()
    assert (code, len(lines)) == (0, 2)
    words = shlex.split(lines[1])
    assert words[:6] == ["forgather", "train", "-p", str(project), "-t", "a.yaml"]
    code, shown, _ = run("construct", *words[2:])
    assert code == 0 and "'seed': 2," in shown and "'lr': -3.5," in shown and f"{project}/out-seed=2/logs" in shown
    assert "'loud': True" in shown


@pytest.mark.parametrize(
    ("axis", "reason"),
    [
        ("lr", "'lr' is no axis"),
        ("lrr=1", "did you mean 'lr'?"),
        ("seed=1", "did you mean 'args.seed'?"),
        ("args.sede=1", "did you mean 'seed'?"),
        ("args.seed=1,x", "'x' is not an int, as 1 is"),
        ("lr=1,x", "--lr: 'x' is no float"),
        ("lr=1,1", "has a value twice"),
        ("more=1", "--more takes no single value"),
        ("loud_voice=maybe", "neither a flag of the config nor a path"),
    ],
)
def test_an_axis_that_does_not_fit(run, axis, reason):
    code, out, err = run("sweep", axis)
    assert (code, out) == (2, "") and reason in err and "Traceback" not in err


def test_one_axis_twice(run):
    assert "'lr' is given twice" in run("sweep", "lr=1", "lr=2")[2]
    assert "'loud-voice' is given twice" in run("sweep", "loud=on", "loud-voice=on,off")[2]


def test_an_axis_takes_the_place_of_what_was_given(run):
    rows = json.loads(run("sweep", "--loud-voice", "--lr", "5", "loud=on,off", "lr=1", "--json")[1])
    assert [row["dynamic_args"] for row in rows] == [{"lr": 1.0, "loud": True}, {"lr": 1.0}]
    assert [[change["path"] for change in row["changes"]] for row in rows] == [["args.lr"], ["args.lr", "main.loud"]]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,2", ["1", "2"]),
        ("[1, 2],[3]", ["[1, 2]", "[3]"]),
        ('{"a": "x,y"},b', ['{"a": "x,y"}', "b"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ("", [""]),
        ("a,", ["a", ""]),
    ],
)
def test_commas_inside_brackets_and_quotes_do_not_separate(text, values):
    assert split_values(text) == values


@given(st.lists(st.text("ab1.-", max_size=3), min_size=1))
def test_values_without_brackets_are_split_at_every_comma(values):
    assert split_values(",".join(values)) == values


def test_running_prints_no_table(run):
    code, out, err = run("sweep", "lr=1,2", "--run", "--json")
    assert (code, out) == (2, "") and "--run prints what the runs print" in err
