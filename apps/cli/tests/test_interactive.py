"""`forgather -i` on a real terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

SLOW = """\
meta: {config_name: "Slow", config_description: "", config_class: "type.none"}
main: !call:{{ joinpath(project_dir, 'nap.py') }}:nap []
"""
NAP = "import time\ndef nap():\n    print('fell asleep', flush=True)\n    time.sleep(60)\n"


def prompt(project: Path, config: str = "") -> str:
    return f"{project.parent.name}/numbers{f' [{config}]' if config else ''}> "


def test_a_verb_runs_where_the_shell_stands_with_the_chosen_config(interactive, project):
    with interactive(project) as terminal:
        terminal.expect(f"forgather:{prompt(project)}")
        terminal.type("config other.yaml\n")
        terminal.expect(prompt(project, "other.yaml"))
        terminal.type("pp --seed 9\n")
        assert "Executing: forgather -t other.yaml pp --seed 9" in terminal.expect("Dynamic arguments received")
        assert 'config_name: "Other"' in terminal.expect("first: 9")
        terminal.expect(prompt(project, "other.yaml"))
        terminal.type("-t small.yaml pp\n")
        assert "Executing: forgather -t small.yaml pp" in terminal.expect("first: 1")
        terminal.type("ls\n")
        assert "Executing: forgather -t" not in terminal.expect("Numbers :")
        terminal.type("exit\n")
        assert terminal.exit_code() == 0


def test_the_config_of_the_command_line_and_a_first_line(interactive, project):
    with interactive(project, "-t", "other.yaml", "targets") as terminal:
        assert "Executing: forgather -t other.yaml targets" in terminal.expect("main")
        terminal.expect(prompt(project, "other.yaml"))


def test_tab_completes_verbs_flags_configs_and_targets(interactive, project):
    with interactive(project) as terminal:
        terminal.expect(prompt(project))
        terminal.type("targ\t")
        terminal.expect("targets ")
        terminal.type("-t sm\t")
        terminal.expect("small.yaml ")
        terminal.type("\n")
        assert "Executing: forgather targets -t small.yaml" in terminal.expect("main")
        terminal.expect(prompt(project))
        terminal.type("graph --target mai\t --form\tpy\t\n")
        terminal.expect("Executing: forgather graph --target main --format python")
        terminal.expect(prompt(project))
        terminal.type("pp --seed 4\t\n")
        terminal.expect("first: 4")
        terminal.expect(prompt(project))
        terminal.type("cd temp\tcon\t\n")
        terminal.expect("numbers/templates/configs> ")


def test_mistakes_are_one_message_and_the_shell_goes_on(interactive, project):
    with interactive(project) as terminal:
        terminal.expect(prompt(project))
        for line, message in {
            "trian": "unknown word 'trian'",
            "config othr.yaml": "did you mean 'other.yaml'?",
            "cd nowhere": "cannot go to nowhere: No such file or directory",
            "pwd now": "too many words behind 'pwd'",
            "pp 'x": "no closing quotation",
            "targets -t nix.yaml": "no config 'nix.yaml'",
        }.items():
            terminal.type(f"{line}\n")
            terminal.expect(message)
            assert "Traceback" not in terminal.expect(prompt(project))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells whether a process sleeps")
def test_ctrl_c_drops_the_line_and_ctrl_d_leaves(interactive, project):
    with interactive(project) as terminal:
        terminal.expect(prompt(project))
        terminal.type("exit now and then")
        terminal.expect("exit now and then")
        terminal.await_sleep()
        terminal.type("\x03")
        terminal.expect(prompt(project))
        terminal.type("pwd\n")
        terminal.expect(f"{project}\r\n")
        terminal.expect(prompt(project))
        terminal.type("\x04")
        assert terminal.exit_code() == 0
        assert "Traceback" not in terminal.screen


def test_ctrl_c_ends_a_command_but_not_the_shell(interactive, project):
    (project / "templates" / "configs" / "slow.yaml").write_text(SLOW)
    (project / "nap.py").write_text(NAP)
    with interactive(project) as terminal:
        terminal.expect(prompt(project))
        terminal.type("construct -t slow.yaml -o nothing.txt\n")
        terminal.expect("fell asleep")
        terminal.type("\x03")
        terminal.expect("interrupted")
        terminal.expect(prompt(project))
        terminal.type("pwd\n")
        terminal.expect(f"{project}\r\n")


def test_history_is_shared_by_the_shells_of_a_workspace(interactive, project):
    file = project.parent / ".forgather_history"
    with interactive(project) as terminal:
        terminal.expect(prompt(project))
        terminal.type("targets -t other.yaml\n")
        terminal.expect("main")
        terminal.expect(prompt(project))
        terminal.type("\n   \nexit\n")
        assert terminal.exit_code() == 0
    assert file.read_text() == "targets -t other.yaml\nexit\n"
    assert file.stat().st_mode & 0o777 == 0o600
    with interactive(project) as terminal:
        terminal.expect(prompt(project))
        terminal.type("\x10\x10\n")  # Ctrl-P twice: the line before the last
        terminal.expect("Executing: forgather targets -t other.yaml")


def test_a_workspace_that_keeps_no_history_has_a_shell(interactive, project):
    (project.parent / ".forgather_history").mkdir()
    with interactive(project) as terminal:
        terminal.expect("no history here: Is a directory:")
        terminal.expect(prompt(project))
        terminal.type("pwd\n")
        terminal.expect(f"{project}\r\n")
        terminal.expect(prompt(project))


def test_edit_lists_the_templates_of_the_config_and_opens_the_chosen(interactive, project, tmp_path):
    record = tmp_path / "edited"
    (tmp_path / "editor").write_text(f'#!/bin/sh\necho "$@" >> {record}\n')
    (tmp_path / "editor").chmod(0o755)
    with interactive(project, EDITOR=str(tmp_path / "editor")) as terminal:
        terminal.expect(prompt(project))
        terminal.type("edit\n")
        listing = terminal.expect("edit (such as 1,3,5-8)> ")
        assert [line.split() for line in listing.splitlines()[1:5]] == [
            ["Config:"],
            ["1", "templates/configs/small.yaml"],
            ["Project:"],
            ["2", "meta.yaml"],
        ]
        terminal.type("2,1\n")
        terminal.expect(prompt(project))
        assert record.read_text() == f"{project}/meta.yaml {project}/templates/configs/small.yaml\n"
        terminal.type("edit\n")
        terminal.expect("> ")
        terminal.type("3-9\n")
        terminal.expect("'3-9' is no choice")
        terminal.expect(prompt(project))
        terminal.type("edit notes.txt\n")
        terminal.expect(prompt(project))
        assert record.read_text().splitlines()[1] == "notes.txt"


def test_long_output_goes_through_the_pager(interactive, project, tmp_path):
    (tmp_path / "pager").write_text("#!/bin/sh\necho PAGED; head -1\n")
    (tmp_path / "pager").chmod(0o755)
    with interactive(project, PAGER=str(tmp_path / "pager")) as terminal:
        terminal.expect(prompt(project))
        terminal.type("graph\n")
        terminal.expect("PAGED")
        terminal.expect(prompt(project))
        terminal.type("targets\n")
        assert "PAGED" not in terminal.expect(prompt(project))
        terminal.type("graph -o graph.yaml\n")
        assert "PAGED" not in terminal.expect(prompt(project))
        assert (project / "graph.yaml").read_text().startswith("meta:")


def test_the_shell_works_outside_of_any_project(interactive, tmp_path):
    with interactive(tmp_path) as terminal:
        terminal.expect(f"forgather:{tmp_path}> ")
        terminal.type("ls\n")
        terminal.expect("no project at or above")
        terminal.type("config x\n")
        terminal.expect("FG0602")
        terminal.type("debug\n")
        terminal.expect("this session only")
        terminal.type("quit\n")
        assert terminal.exit_code() == 0
    assert not (tmp_path / ".forgather_history").exists()
