"""New workspaces, projects and configs: they can be used at once, and nothing is ever overwritten."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fg_config import Project, ProjectError, commands, list_configs
from fg_config.command_line import main
from fg_config.projects.meta import read_project_meta
from fg_config.scaffold.files import write_new


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> tuple[int, str, str]:
        code = main(commands, [str(word) for word in words], prog="forgather")
        out, err = capsys.readouterr()
        return code, out, err

    return run


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def project(run, tmp_path) -> Path:
    assert run("ws", "create", "lab", "--name", "Lab")[0] == 0
    code, _, err = run("project", "create", "-p", "lab", "--name", "My Numbers!", "--scaffold", "plain")
    assert (code, err) == (0, "")
    return tmp_path / "lab" / "my_numbers"


def test_a_new_project_can_be_listed_and_built(run, project, tmp_path):
    assert files_below(tmp_path / "lab") == [
        ".gitignore",
        "forgather_workspace/README.md",
        "forgather_workspace/base_directories.yaml",
        "forgather_workspace/meta_defaults.yaml",
        "my_numbers/README.md",
        "my_numbers/meta.yaml",
        "my_numbers/templates/configs/default.yaml",
    ]
    assert run("ls", "-p", project)[1].splitlines()[1].split() == ["[default.yaml]", "My", "Numbers!", ":"]
    assert run("construct", "-p", project)[1] == "45\n"
    assert run("construct", "-p", project, "--start", "8")[1] == "17\n"
    assert run("project", "-p", project)[1] == f"{project}\n"
    assert run("ws", "-p", project)[1] == f"{project.parent}\n"


def test_what_commands_write_is_no_part_of_a_repository(run, project, tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path / "lab"], check=True)
    written = ["output_models/big/model.safetensors", "tmp/graph.yaml", ".forgather_history"]
    for name in written:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("")
    asked = ["git", "-C", project, "ls-files", "--others", "--exclude-standard"]
    assert subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split() == [
        name for name in files_below(project) if name not in written
    ]


def test_rules_that_are_there_stay(run, tmp_path):
    (tmp_path / ".gitignore").write_text("mine\n")
    assert run("ws", "create", ".")[0] == 0
    assert (tmp_path / ".gitignore").read_text() == "mine\n" and (tmp_path / "forgather_workspace").is_dir()


def test_creating_twice_names_what_is_there_and_changes_nothing(run, project, tmp_path):
    (project / "README.md").write_text("mine")
    (project / "meta.yaml").unlink()
    code, out, err = run("project", "create", "-p", "lab", "--name", "My Numbers", "--scaffold", "plain")
    assert (code, out) == (2, "") and f"{project}/README.md" in err and "FG0620" in err
    assert (project / "README.md").read_text() == "mine" and not (project / "meta.yaml").exists()
    code, _, err = run("ws", "create", "lab")
    assert code == 2 and "forgather_workspace/README.md" in err


def test_what_was_written_is_removed_when_a_later_file_cannot_be(tmp_path):
    (tmp_path / "plain file").write_text("")
    wanted = {tmp_path / "new" / "deep" / "a": "1", tmp_path / "plain file" / "b": "2"}
    with pytest.raises(OSError, match="plain file"):
        write_new(wanted)
    assert files_below(tmp_path) == ["plain file"] and not (tmp_path / "new").exists()


def test_options_of_a_new_project(run, project, tmp_path):
    words = [
        "--config-prefix",
        "runs",
        "--default-config",
        "first.yaml",
        "--project-dir-name",
        "other",
        "--description",
    ]
    assert run("project", "create", "-p", "lab", "--name", "X", *words, 'Says "so"', "--scaffold", "plain")[0] == 0
    meta = read_project_meta(tmp_path / "lab" / "other")
    assert (meta.name, meta.description, meta.config_prefix) == ("X", 'Says "so"', "runs")
    assert list_configs(meta.project_dir) == ["first.yaml"] and meta.default_config == "first.yaml"


def test_the_first_config_can_be_a_copy(run, project, tmp_path):
    source = project / "templates" / "configs" / "default.yaml"
    assert run("project", "create", "-p", "lab", "--name", "Copy", source)[0] == 0
    copied = tmp_path / "lab" / "copy" / "templates" / "configs" / "default.yaml"
    assert copied.read_text() == source.read_text()
    code, _, err = run("project", "create", "-p", "lab", "--name", "Copy2", "nowhere.yaml")
    assert code == 2 and "nowhere.yaml" in err and not (tmp_path / "lab" / "copy2").exists()


@pytest.mark.parametrize("name", ["a ## b", "{{ x }}", "two\nlines"])
def test_names_that_a_template_would_rewrite_are_refused(run, project, name):
    code, _, err = run("project", "create", "-p", "lab", "--name", name, "--project-dir-name", "odd")
    assert code == 2 and "FG0621" in err and "Traceback" not in err


@pytest.mark.parametrize(
    "words", [["--config-prefix", "/abs"], ["--config-prefix", ".."], ["--default-config", "../../../x.yaml"]]
)
def test_a_project_stays_in_its_directory(run, project, words):
    code, _, err = run("project", "create", "-p", "lab", "--name", "Odd", "--scaffold", "plain", *words)
    assert code == 2 and "no template name" in err and not (project.parent / "odd").exists()


def test_a_name_may_look_like_what_is_filled_in(run, project):
    words = ["--name", "@description@", "--description", "@name@", "--project-dir-name", "odd"]
    assert run("project", "create", "-p", "lab", *words, "--scaffold", "plain")[0] == 0
    meta = read_project_meta(project.parent / "odd")
    assert (meta.name, meta.description) == ("@description@", "@name@")


def test_a_project_needs_a_workspace_and_a_known_scaffold(run, project, tmp_path):
    code, _, err = run("project", "create", "--name", "Lost")
    assert code == 2 and "forgather ws create" in err
    code, _, err = run("project", "create", "-p", "lab", "--name", "Odd", "--scaffold", "plane")
    assert code == 2 and "did you mean 'plain'?" in err


def test_search_path_of_a_workspace(run, tmp_path):
    for folder in ("shared", "forge/templatelib/base", "forge/extra"):
        (tmp_path / "site" / folder).mkdir(parents=True)
    (tmp_path / "site" / "shared" / "mine.yaml").write_text("from: shared\n")
    words = ["--forgather-dir", "forge", "-l", "base", "-l", "extra", "--search-path", "shared"]
    assert run("ws", "create", "site", *words)[0] == 0
    assert run("project", "create", "-p", "site", "--name", "p", "--scaffold", "plain")[0] == 0
    meta = read_project_meta(tmp_path / "site" / "p")
    site = tmp_path / "site"
    assert list(meta.searchdir) == [
        *(site / "p" / "templates", site / "forgather_workspace"),
        *(site / "forge" / "templatelib" / "base", site / "forge" / "extra", site / "shared"),
    ]
    built = Project("default.yaml", site / "p").graph
    assert built.at("meta.forgather_dir") == str(site / "forge")
    code, _, err = run("ws", "create", "elsewhere", "-l", "nothing")
    assert code == 2 and "FG0622" in err and not (tmp_path / "elsewhere").exists()


def test_new_configs(run, project):
    assert run("project", "new_config", "deep/big.yaml", "-p", project)[0] == 0
    assert Project("deep/big.yaml", project).graph.at("meta.config_name") == "Big"
    assert run("project", "-p", project, "new_config", "copy.yaml", "default.yaml")[0] == 0
    configs = project / "templates" / "configs"
    assert (configs / "copy.yaml").read_text() == (configs / "default.yaml").read_text()
    assert run("project", "new_config", "part.yaml", "--type", "project", "-p", project)[0] == 0
    assert run("project", "new_config", "common.yaml", "default.yaml", "--type", "ws", "-p", project)[0] == 0
    assert (project / "templates" / "part.yaml").is_file()
    assert (project.parent / "forgather_workspace" / "common.yaml").is_file()


TRAINING = """\
-- set ns = namespace()
[config_metadata]
    -- set ns.model_name = model_name | default("numbers")

[main]
output_dir: output_models/{{ ns.model_name }}
-- include 'own.model'

#-------- own.model --------
    -- set ns.model_name = "A kind of model"
kind: {{ ns.model_name }}
"""


def test_a_new_config_does_not_go_on_with_the_model_of_another(run, project):
    configs = project / "templates" / "configs"
    (configs / "default.yaml").write_text(TRAINING)
    for words in (["wider.yaml"], ["deep/copy.yaml", "default.yaml"], ["copy.yaml", "wider.yaml"]):
        assert run("project", "new_config", "-p", project, *words)[0] == 0
    graphs = {name: Project(name, project).graph for name in list_configs(project)}
    assert {name: graph.at("output_dir") for name, graph in graphs.items()} == {
        "default.yaml": "output_models/numbers",
        "wider.yaml": "output_models/my_numbers_wider",
        "copy.yaml": "output_models/my_numbers_copy",
        "deep/copy.yaml": "output_models/my_numbers_deep_copy",
    }
    assert {graph.at("kind") for graph in graphs.values()} == {"A kind of model"}
    assert Project("wider.yaml", project, model_name="given").graph.at("output_dir") == "output_models/given"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["default.yaml"], "exists already"),
        (["big"], "ends with .yaml"),
        (["../../big.yaml"], "no template name"),
        ([".yaml"], "no template name"),
        (["a/.hidden/big.yaml"], "no template name"),
        (["big.yaml", "picture.png"], "picture.png is no text"),
        (["big.yaml", "defualt.yaml"], "did you mean 'default.yaml'"),
    ],
)
def test_new_configs_that_cannot_be(run, project, words, message):
    (project.parents[1] / "picture.png").write_bytes(b"\x89PNG\xff")
    before = files_below(project)
    code, _, err = run("project", "new_config", "-p", project, *words)
    assert code == 2 and message in err and files_below(project) == before


def test_a_project_without_a_directory_of_templates_gets_none(run, project):
    (project / "meta.yaml").write_text("searchdir: []\n")
    code, _, err = run("project", "new_config", "-p", project, "big.yaml")
    assert code == 2 and "searches no directory of its own" in err and "meta.yaml:1" in err


def test_a_config_for_a_project_without_any(run, tmp_path):
    assert run("ws", "create", ".")[0] == 0
    (tmp_path / "meta.yaml").write_text("name: empty\n")
    title, problem = run("ls")[1].splitlines()
    assert title == "empty :" and f"has no configs; looked for *.yaml in {tmp_path}/templates/configs" in problem
    assert "has no configs" in run("pp")[2]
    assert run("project", "new_config", "one.yaml")[0] == 0
    assert list_configs(tmp_path) == ["one.yaml"]


def test_a_broken_default_config_can_be_extended(run, project):
    (project / "templates" / "configs" / "default.yaml").write_text("{{ nothing }}\n")
    assert run("project", "new_config", "big.yaml", "-p", project)[0] == 0
    assert "extends 'configs/default.yaml'" in (project / "templates" / "configs" / "big.yaml").read_text()


def test_a_scaffold_error_is_a_project_error(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(ProjectError, match="nothing was created"):
        write_new({tmp_path / "a": "x", tmp_path / "b": "y"})
    assert files_below(tmp_path) == ["a"]


def test_a_workspace_that_a_new_project_could_not_be_read_in_is_refused(run, tmp_path):
    (tmp_path / "bare" / "forgather_workspace").mkdir(parents=True)
    code, _, err = run("project", "create", "-p", "bare", "--name", "x", "--scaffold", "plain")
    assert code == 2 and "has no meta_defaults.yaml" in err
    assert files_below(tmp_path / "bare") == []
