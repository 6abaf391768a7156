"""Trust: what the user records, what it lifts, and what cannot bring it about."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fg_config import PolicyError, Project, ProjectError, commands, from_project
from fg_config.command_line import main
from fg_config.lint.codes import CODES
from fg_config.projects.policies import check_environment, project_policy
from fg_config.projects.trust import add_trust, is_trusted, remove_trust, trusted_directories


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "user"
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(folder))
    return folder


@pytest.fixture
def make(tmp_path: Path, user: Path):
    def make(place: str, text: str = "main: !call:os:getpid []\n") -> Path:
        project = tmp_path / place
        (project / "templates" / "configs").mkdir(parents=True)
        (project.parent / "forgather_workspace").mkdir(exist_ok=True)
        (project / "meta.yaml").write_text("name: x\n")
        (project / "templates" / "configs" / "a.yaml").write_text(text)
        return project

    return make


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def run(*words: object) -> tuple[int, str, str]:
        code = main(commands, [str(word) for word in words], prog="forgather")
        return code, *capsys.readouterr()

    return run


# --- the record ---------------------------------------------------------------------------------------------------


def test_trust_holds_for_everything_below(tmp_path, user):
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert not is_trusted(tmp_path / "a")
    assert add_trust(tmp_path / "a") == tmp_path / "a"
    assert is_trusted(tmp_path / "a" / "b" / "not yet there")
    assert not is_trusted(tmp_path)
    assert not is_trusted(tmp_path / "ab")
    remove_trust(tmp_path / "a")
    assert not is_trusted(tmp_path / "a" / "b")


def test_the_record_is_private_and_dated(tmp_path, user):
    add_trust(tmp_path)
    record = user / "trusted.json"
    assert (record.stat().st_mode & 0o777, user.stat().st_mode & 0o777) == (0o600, 0o700)
    (entry,) = json.loads(record.read_text())["directories"]
    assert (entry["path"], entry["since"][:2], entry["since"][-6:]) == (str(tmp_path), "20", "+00:00")


def test_changes_at_the_same_time_are_all_kept(tmp_path, user):
    folders = [tmp_path / str(number) for number in range(6)]
    for folder in folders:
        folder.mkdir()
    code = "import sys; from pathlib import Path; from fg_config.projects.trust import add_trust; input()\n"
    code += "for name in sys.argv[1:]: add_trust(Path(name))"
    waiting = [
        subprocess.Popen([sys.executable, "-c", code, *map(str, some)], stdin=subprocess.PIPE, text=True)
        for some in (folders[:3], folders[3:])
    ]
    for process in waiting:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.close()
    assert [process.wait(60) for process in waiting] == [0, 0]
    assert [each.path for each in trusted_directories()] == folders


def test_a_link_in_place_of_a_directory_is_not_trusted(tmp_path, user):
    for name in ("good", "evil"):
        (tmp_path / name).mkdir()
    add_trust(tmp_path / "good")
    (tmp_path / "good").rmdir()
    (tmp_path / "good").symlink_to(tmp_path / "evil")
    assert not is_trusted(tmp_path / "good")
    remove_trust(tmp_path / "good")
    assert trusted_directories() == ()


def test_trusting_a_link_trusts_what_it_points_to(tmp_path, user):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert add_trust(tmp_path / "link") == tmp_path / "real"
    assert is_trusted(tmp_path / "link")
    (tmp_path / "link").unlink()
    (tmp_path / "link").mkdir()
    assert not is_trusted(tmp_path / "link")


def test_a_directory_that_moved_is_not_trusted(tmp_path, user):
    (tmp_path / "a").mkdir()
    add_trust(tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert not is_trusted(tmp_path / "b")


@pytest.mark.parametrize("text", ["", "[]", '{"directories": [{"path": 5, "since": ""}]}', '{"directories": [{}]}'])
def test_a_damaged_record_is_no_trust(tmp_path, user, text):
    add_trust(tmp_path)
    (user / "trusted.json").write_text(text)
    with pytest.raises(ProjectError, match="no record of trust"):
        is_trusted(tmp_path)


@pytest.mark.parametrize("name", ["trusted.json", "policy.yaml"])
def test_a_file_that_others_may_write_decides_nothing(tmp_path, user, make, name):
    project = make("w/p")
    add_trust(tmp_path)
    remove_trust(tmp_path)
    (user / "policy.yaml").touch(mode=0o600)
    (user / name).chmod(0o666)
    with pytest.raises(ProjectError, match="other users"):
        project_policy(project, project.parent)


def test_what_cannot_be_trusted_or_distrusted(tmp_path, user):
    with pytest.raises(ProjectError, match="no such directory") as nowhere:
        add_trust(tmp_path / "nowhere")
    (tmp_path / "a").mkdir()
    add_trust(tmp_path)
    with pytest.raises(ProjectError) as caught:
        remove_trust(tmp_path / "a")
    assert caught.value.help == f"it is trusted because {tmp_path} is"
    assert not {nowhere.value.code, caught.value.code} & CODES.keys()  # a code of `check` means one thing


# --- what it lifts ------------------------------------------------------------------------------------------------


def test_one_decision_lets_a_project_work(make, run):
    project = make("w/p")
    code, _, said = run("construct", "-p", project)
    assert code == 2
    (command,) = [part for part in said.split("`") if part.startswith("forgather trust")]
    assert run(*command.split()[1:])[0] == 0
    assert run("construct", "-p", project)[0] == 0
    assert run("trust", "--remove", project.parent)[1] == f"no longer trusted: {project.parent}\n"
    assert run("construct", "-p", project)[0] == 2


def test_trust_and_allow_hold_for_one_command(make, run):
    project = make("w/p")
    assert run("construct", "--trust", "-p", project)[0] == 0
    assert run("construct", "--allow", "os", "-p", project)[0] == 0
    assert run("construct", "--allow", "os:getpid", "-p", project)[0] == 0
    assert run("construct", "--allow", "subprocess", "-p", project)[0] == 2
    assert run("construct", "-p", project)[0] == 2


def test_the_policy_file_of_the_user(make, user):
    project = make("w/p")
    user.mkdir()
    (user / "policy.yaml").write_text("allow: [os.getpid]\n")
    assert Project("", project)() > 0
    (user / "policy.yaml").write_text("deny: [os]\n")
    with pytest.raises(PolicyError):
        Project("", project)()


def test_a_trusted_workspace_is_held_to_its_policy_file(make, user):
    allowed, other = make("w/p"), make("w/q", "main: !call:os:getppid []\n")
    (allowed.parent / "forgather_workspace" / "policy.yaml").write_text("allow: [os.getpid]\n")
    with pytest.raises(PolicyError):
        Project("", allowed)()
    add_trust(allowed.parent)
    assert Project("", allowed)() > 0
    with pytest.raises(PolicyError):
        Project("", other)()


def test_a_project_without_a_policy_of_the_caller_is_held_to_its_own_directories(make, tmp_path):
    project = make("w/p", f"main: !call:{tmp_path}/elsewhere.py:f []\nview: !call:os:getpid []\n")
    (tmp_path / "elsewhere.py").write_text("def f(): return 5\n")
    with pytest.raises(PolicyError) as caught:
        Project("", project)()
    assert (caught.value.code, caught.value.span.line) == ("FG0452", 1)
    with pytest.raises(PolicyError):
        Project("", project).config.view()
    add_trust(project)
    assert Project("", project)() == 5
    assert Project("", project).config.view() > 0


def test_code_of_another_project(make):
    outer = make("v/outer")
    inner = make("w/inner", "main: !call:code.py:f []\nshell: !call:os:getpid []\n")
    (inner / "code.py").write_text("def f(): return 7\n")
    config = outer / "templates" / "configs" / "a.yaml"
    config.write_text(f"main: !call:fg_config:from_project ['{inner}']\n")
    with pytest.raises(PolicyError) as caught:
        Project("", outer)()
    assert (caught.value.code, caught.value.span.file) == ("FG0456", str(config))
    assert f"forgather trust {inner.parent}" in caught.value.help
    add_trust(inner.parent)
    assert Project("", outer)() == 7


def test_a_trusted_project_does_not_lend_its_trust(make):
    outer = make("v/outer")
    inner = make("w/inner")
    (outer / "templates" / "configs" / "a.yaml").write_text(f"main: !call:fg_config:from_project ['{inner}']\n")
    add_trust(inner.parent)
    assert Project("", inner)() > 0
    with pytest.raises(PolicyError, match=r"os is denied"):
        Project("", outer)()


def test_python_code_that_asks_is_under_the_policy_of_the_project(make):
    with pytest.raises(PolicyError):
        from_project(make("w/p"))


# --- the verb -----------------------------------------------------------------------------------------------------


def test_the_verb_needs_no_project_and_lists(tmp_path, run, user, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("trust")[:2] == (0, "no directory is trusted\n")
    (tmp_path / "a").mkdir()
    assert run("trust", "a")[1] == f"trusted, with everything below: {tmp_path}/a\n"
    assert run("trust", "--list")[1].endswith(f"  {tmp_path}/a\n")
    (entry,) = json.loads(run("trust", "--json")[1])
    assert entry["path"] == f"{tmp_path}/a"
    assert run("trust", "--remove")[0] == 2


# --- the environment of a run -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONPATH", "FORGATHER_CONFIG_DIR", "PATH", "XDG_CONFIG_HOME"])
def test_a_config_does_not_choose_what_its_process_loads(make, name):
    project = make("w/p", f"main: 1\nenv:\n    OMP_NUM_THREADS: '2'\n    {name}: /tmp/x\n")
    graph = Project("", project).graph
    policy = project_policy(project, project.parent)
    with pytest.raises(PolicyError, match=name) as caught:
        check_environment(policy, {"OMP_NUM_THREADS": "2", name: "/tmp/x"}, graph)
    assert caught.value.span.line == 4
    check_environment(policy, {"OMP_NUM_THREADS": "2"}, graph)
    add_trust(project)
    check_environment(project_policy(project, project.parent), {name: "/tmp/x"}, graph)
