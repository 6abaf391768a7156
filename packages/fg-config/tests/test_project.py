"""Projects, workspaces, and configs that build on other projects."""

import pytest

from fg_config import (
    DotDict,
    ImportPolicy,
    PolicyError,
    Project,
    ProjectError,
    find_project_dir,
    from_project,
    list_configs,
)
from fg_config.projects.imported_names import imported_names
from fg_config.projects.meta import read_project_meta

CONFIG = """\
meta: {config_name: "{{ label | default('plain') }}"}
main: !call:dict {size: {{ size | default(3) }}, tokenizer: !var {name: tokenizer, default: ~}}
numbers: &numbers !call:list [[1, 2]]
shared: *numbers
dir: "{{ project_dir }}"
root: "{{ workspace_root }}"
text: !call:len [!var pp_config]
"""


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    (tmp_path / "forgather_workspace").mkdir()
    return tmp_path


@pytest.fixture
def project(workspace):
    folder = workspace / "group" / "one"
    configs = folder / "templates" / "configs"
    configs.mkdir(parents=True)
    (folder / "meta.yaml").write_text("name: One\ndescription: First\n")
    (configs / "b.yaml").write_text(CONFIG)
    (configs / "a.yaml").write_text("main: 1\n")
    return folder


def test_the_record(project, workspace):
    meta = Project("b.yaml", project).meta
    assert (meta.name, meta.description, meta.config_prefix, meta.default_config) == (
        "One",
        "First",
        "configs",
        "a.yaml",
    )
    assert (meta.searchdir, meta.workspace_root) == ((project / "templates",), workspace)


def test_the_project_directory_is_absolute_however_it_is_spelt(project, monkeypatch):
    monkeypatch.chdir(project)
    for spelling in (".", "../one", str(project)):
        assert Project("b.yaml", spelling)("dir") == str(project)
    monkeypatch.chdir(project / "templates")
    assert find_project_dir(".") == project


def test_search_directories_are_relative_to_the_project(project, monkeypatch, tmp_path):
    (project / "meta.yaml").write_text("searchdir: [other, templates]\ndefault_config: b.yaml\n")
    (project / "other" / "configs").mkdir(parents=True)
    (project / "other" / "configs" / "b.yaml").write_text("main: 5\n")
    (project / "other" / "configs" / ".hidden").mkdir()
    (project / "other" / "configs" / ".hidden" / "x.yaml").write_text("main: 6\n")
    monkeypatch.chdir(tmp_path)
    assert Project("", project)() == 5
    assert list_configs(project) == ["a.yaml", "b.yaml"]


def test_workspace_templates_serve_meta_and_configs(project, workspace):
    shared = workspace / "forgather_workspace"
    (shared / "base_directories.yaml").write_text("-- set ns.forgather_dir = '/opt/forgather'\n")
    (shared / "meta_defaults.yaml").write_text("searchdir:\n[searchdir_project]\n    - templates\n[configs]\n\n")
    (project / "meta.yaml").write_text("-- extends 'meta_defaults.yaml'\n[configs]\nname: Two\n\n")
    (project / "templates" / "configs" / "c.yaml").write_text(
        "-- extends 'config_type.yaml'\n[main_body]\nx: &x 1\n\n[main_output]\nmain: *x\n\n"
    )
    loaded = Project("c.yaml", project)
    assert (loaded.meta.name, loaded("meta")["forgather_dir"]) == ("Two", "/opt/forgather")


def test_calling_a_project(project):
    one = Project("b.yaml", project, size=7)
    assert one() == {"size": 7, "tokenizer": None}
    assert one("main", tokenizer="t")["tokenizer"] == "t"
    shared, numbers = one("shared", "numbers")
    assert numbers == [1, 2]
    assert shared is numbers
    both = one(["numbers", "nowhere", "shared"])
    assert isinstance(both, DotDict)
    assert list(both) == ["numbers", "shared"]
    assert both.numbers is both.shared
    assert list(one("dir", "root", asdict=True)) == ["dir", "root"]
    assert one("text") == len(one.pp_config)
    with pytest.raises(KeyError, match="did you mean 'numbers'"):
        one("number")


def test_every_call_builds_anew(project):
    one = Project("b.yaml", project)
    assert one("numbers") is not one("numbers")


def test_other_ways_to_read_a_config(project):
    one = Project("b.yaml", project)
    assert one.config.main(context_vars={"tokenizer": "t"})["tokenizer"] == "t"
    assert one.config["dir"] == str(project)
    assert one.load_config("a.yaml")() == 1
    assert one.load_config("b.yaml", label="other")("meta") == {"config_name": "other"}
    one.add_template("configs/memory.yaml", "main: 9\n")
    assert one.environment.load("configs/memory.yaml").config["main"] == 9
    assert [use.name for use in one.templates_used] == ["configs/b.yaml"]
    assert one.search_path[0] == project / "templates"


@pytest.mark.parametrize(
    ("name", "help"),
    [("c.yam", "did you mean"), ("bb.yaml", "did you mean 'b.yaml'"), ("zzz", "known configs: a.yaml")],
)
def test_a_misspelt_config(project, name, help):
    with pytest.raises(ProjectError) as caught:
        Project(name, project)
    assert help in caught.value.help


def test_a_missing_default_config(project):
    (project / "meta.yaml").write_text("default_config: gone.yaml\n")
    with pytest.raises(ProjectError, match=r"gone.yaml.*default_config of meta.yaml"):
        Project("", project)


def test_no_project_and_no_workspace(tmp_path_factory):
    place = tmp_path_factory.mktemp("nowhere")
    with pytest.raises(ProjectError, match="no project at or above"):
        find_project_dir(place)
    (place / "meta.yaml").write_text("name: x\n")
    with pytest.raises(ProjectError, match="no workspace at or above"):
        read_project_meta(place)


@pytest.mark.parametrize("text", ["- 1\n", "name: 5\n", "name: !call:len [[]]\n", "searchdir: {a: b}\n"])
def test_a_wrong_record(project, text):
    (project / "meta.yaml").write_text(text)
    with pytest.raises(ProjectError):
        read_project_meta(project)


def test_a_key_that_nobody_reads_is_mentioned(project, caplog):
    (project / "meta.yaml").write_text("searchpath: [x]\n")
    assert read_project_meta(project).extra == {"searchpath": ["x"]}
    assert "did you mean 'searchdir'?" in caplog.text


def test_configs_build_on_other_projects(project, workspace):
    other = workspace / "two"
    (other / "templates" / "configs").mkdir(parents=True)
    (other / "meta.yaml").write_text("name: Two\n")
    (other / "templates" / "configs" / "c.yaml").write_text(
        "data: &data !call:forgather:from_project\n"
        f"    project_dir: '{project}'\n"
        "    config_template: b.yaml\n"
        "    targets: [main, numbers]\n"
        "    pp_kwargs: {size: 11}\n"
        "    tokenizer: tok\n"
        "main: !call:getitem [*data, main]\n"
        "numbers: !call:getitem [*data, numbers]\n"
    )
    assert Project("c.yaml", other)() == {"size": 11, "tokenizer": "tok"}
    assert Project("c.yaml", other)("numbers") == [1, 2]


def test_from_project(project):
    assert from_project(project, "b.yaml", "numbers") == [1, 2]
    assert from_project(project, "b.yaml", pp_kwargs={"size": 1}, tokenizer="t") == {"size": 1, "tokenizer": "t"}
    assert from_project(project) == 1
    with pytest.raises(KeyError) as caught:
        from_project(project, "b.yaml", "nowhere", pp_debug=True)
    assert "meta: {config_name" in caught.value.__notes__[0]


def test_the_policy_of_a_build_reaches_the_projects_it_builds_on(project, workspace):
    (project / "templates" / "configs" / "os.yaml").write_text("main: !call:os:getcwd []\n")
    outer = project / "templates" / "configs" / "outer.yaml"
    outer.write_text(f"main: !call:fg_config:from_project ['{project}', os.yaml]\n")
    with pytest.raises(PolicyError) as caught:
        Project("outer.yaml", project)()
    assert caught.value.span.line == 1
    assert Project("outer.yaml", project, policy=ImportPolicy.unrestricted())()


def test_another_project_is_relative_to_the_one_that_is_built(project, workspace, monkeypatch, tmp_path):
    inner = workspace / "group" / "inner"
    (inner / "templates" / "configs").mkdir(parents=True)
    (inner / "meta.yaml").write_text("name: Inner\n")
    call = "!call:fg_config:from_project {project_dir: %s, config_template: %s}\n"
    (inner / "templates" / "configs" / "i.yaml").write_text("main: " + call % ("../one", "b.yaml"))
    (workspace / "two" / "templates" / "configs").mkdir(parents=True)
    (workspace / "two" / "meta.yaml").write_text("name: Two\n")
    outer = "main: " + call % ("../group/inner", "i.yaml") + "later: !partial" + (call % ("../group/one", "a.yaml"))[5:]
    (workspace / "two" / "templates" / "configs" / "o.yaml").write_text(outer)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    opened = Project("o.yaml", "../two")
    assert opened()["size"] == 3
    assert opened("later")() == 1
    policy = opened._build_policy()
    assert [name.spec for name in imported_names(opened, "main", policy)][-1] == "dict"
    monkeypatch.chdir(project.parent)
    assert from_project("one", "a.yaml") == 1  # outside of a build, relative to the working directory


# --- in memory, and other configs of the same project -------------------------------------------------------------


def test_a_config_may_exist_in_memory_only(project):
    one = Project("b.yaml", project)
    one.add_template("configs/mem.yaml", "main: {{ n | default(5) }}\n")
    assert (one.load_config("mem.yaml")(), one.load_config("mem.yaml", n=6)()) == (5, 6)
    with pytest.raises(ProjectError, match="no config"):
        Project("mem.yaml", project)


def test_another_config_keeps_overrides_and_policy(project):
    (project / "templates" / "configs" / "os.yaml").write_text("main: !call:os:getcwd []\nshared: 1\n")
    free = Project("b.yaml", project, policy=ImportPolicy.unrestricted(), overrides=["shared=7"])
    other = free.load_config("os.yaml")
    assert (other("shared"), other.overrides) == (7, free.overrides)
    assert isinstance(other(), str)
    assert free.load_config("b.yaml", label="x").config_name == "b.yaml"


@pytest.mark.parametrize("name", ["policy", "overrides", "config_name", "directory"])
def test_template_variables_of_another_project_may_have_any_name(project, name):
    (project / "templates" / "configs" / "v.yaml").write_text(f"main: {{{{ {name} }}}}\n")
    assert from_project(project, "v.yaml", pp_kwargs={name: "strict"}) == "strict"
    text = f"main: !call:fg_config:from_project ['{project}', v.yaml, main, false, {{{name}: strict}}]\n"
    (project / "templates" / "configs" / "w.yaml").write_text(text)
    assert Project("w.yaml", project)() == "strict"
    assert len(imported_names(Project("w.yaml", project), "main", ImportPolicy.unrestricted())) == 1


def test_files_in_specs_are_relative_to_the_project(project, monkeypatch, tmp_path):
    (project / "code.py").write_text("def answer(): return 42\n")
    (project / "templates" / "configs" / "f.yaml").write_text("main: !call:code.py:answer []\n")
    monkeypatch.chdir(tmp_path)
    assert Project("f.yaml", project)() == 42


def test_configs_give_the_same_text_in_any_order(project):
    (project / "templates" / "configs" / "c.yaml").write_text("-- include 'part'\n\n#--- part ---\nmain: c\n")
    (project / "templates" / "configs" / "d.yaml").write_text("-- include 'part'\n\n#--- part ---\nmain: d\n")
    alone = {name: str(Project(name, project).pp_config) for name in ("c.yaml", "d.yaml")}
    for order in (["c.yaml", "d.yaml"], ["d.yaml", "c.yaml"]):
        assert {name: str(Project(name, project).pp_config) for name in order} == alone
