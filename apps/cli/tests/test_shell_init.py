"""The printed shell text, run in the real shells that are installed here."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fg_cli.verbs import VERBS

_RECORD = '#!/bin/sh\necho "forgather got: $*"\n'


@pytest.fixture
def run_shell(tmp_path: Path, forgather):
    """Run a script in a shell that has read the text of `shell-init`, with a `forgather` that reports its words."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "forgather"
    command.write_text(_RECORD)
    command.chmod(0o755)

    def run(shell: str, script: str) -> str:
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not installed")
        text = forgather("shell-init", shell)
        assert text.returncode == 0, text.stderr
        (tmp_path / "init").write_text(text.stdout)
        environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb"}
        quiet = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
        (tmp_path / "script").write_text(f". {tmp_path}/init\n{script}\n")
        done = subprocess.run(
            [shutil.which(shell) or shell, *quiet, str(tmp_path / "script")],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout + done.stderr

    run.command = command
    return run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_verbs_go_to_forgather(run_shell, shell):
    output = run_shell(shell, "fg -p 'a b' -t c.yaml train --lr 1; fg ls; fg --help")
    assert output.splitlines() == [
        "forgather got: -p a b -t c.yaml train --lr 1",
        "forgather got: ls",
        "forgather got: --help",
    ]


@pytest.mark.parametrize("words", ["", "%1", "2", "%sleep", "+", "-"])
def test_bash_job_control_still_works(run_shell, words):
    script = f"set -m\nsleep 0 &\nfirst=$!\nsh -c 'echo job two' &\nfg {words}\nwait"
    output = run_shell("bash", script)
    assert "forgather got" not in output and "no job control" not in output


def test_bash_brings_the_named_job_to_the_foreground(run_shell):
    # `fg %1` returns the status of the job it waited for, which no other command here has.
    script = "mkfifo pipe\nset -m\nsh -c 'read line < pipe; exit 7' &\necho go > pipe\nfg %1\necho status $?"
    assert "status 7" in run_shell("bash", script)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
@pytest.mark.parametrize("words", ["", "%1", "2"])
def test_other_shells_keep_job_control(run_shell, shell, words):
    assert "forgather got" not in run_shell(shell, f"fg {words}")


@pytest.fixture
def complete(run_shell, project):
    """The words that a shell offers for the last of `words`, asked from the real command inside the project."""
    run_shell.command.write_text(f'#!/bin/sh\ncd {project}\nexec {sys.executable} -m fg_cli "$@"\n')

    def bash(*words: str) -> list[str]:
        quoted = " ".join(shlex.quote(word) for word in words)
        script = f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _forgather; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        return [line for line in run_shell("bash", script).splitlines() if line]

    def zsh(*words: str) -> list[str]:
        """The function runs outside the line editor, so what it hands to zsh's completion is caught."""
        quoted = " ".join(shlex.quote(word) for word in words)
        catch = "_describe() { print -rl -- ${described%%:*} }; _files() { print -r -- files $@ }"
        script = f"{catch}; words=({quoted}); CURRENT={len(words)}; _forgather"
        return [line for line in run_shell("zsh", script).splitlines() if line]

    def fish(*words: str) -> list[str]:
        lines = run_shell("fish", f"complete -C {shlex.quote(' '.join(words))}").splitlines()
        return [line.partition("\t")[0] for line in lines]

    return {"bash": bash, "zsh": zsh, "fish": fish}


SHELLS = pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])


@SHELLS
def test_verbs_are_completed(complete, shell):
    assert set(complete[shell]("forgather", "")) >= set(VERBS)
    assert sorted(complete[shell]("forgather", "-p", ".", "tr")) == sorted(verb for verb in VERBS if verb[:2] == "tr")


@SHELLS
def test_the_short_name_is_completed_too(complete, shell):
    assert complete[shell]("fg", "-p", ".", "tar") == ["targets"]


@SHELLS
def test_config_names_of_the_project_are_completed(complete, shell):
    assert sorted(complete[shell]("forgather", "pp", "-t", "")) == ["other.yaml", "small.yaml"]
    assert complete[shell]("forgather", "pp", "-t", "sm") == ["small.yaml"]


@SHELLS
def test_flags_of_the_verb_and_of_the_config_are_completed(complete, shell):
    assert sorted(complete[shell]("forgather", "construct", "--se")) == ["--seed", "--set", "--set-json"]


@SHELLS
def test_targets_are_completed(complete, shell):
    assert sorted(complete[shell]("forgather", "graph", "--target", "m")) == ["main", "meta"]


def test_bash_takes_words_apart_at_equals_signs(complete):
    assert complete["bash"]("forgather", "graph", "--target", "=", "ma") == ["main"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_keep_equals_signs_in_the_word(complete, shell):
    assert complete[shell]("forgather", "graph", "--target=ma") == ["--target=main"]


@SHELLS
def test_directories_are_completed_for_projects(complete, shell, tmp_path):
    (tmp_path / "numerals").mkdir()
    found = complete[shell]("forgather", "ls", "num")
    if shell == "zsh":
        assert found == ["files -/"]
    else:
        assert [name.rstrip("/") for name in sorted(found)] == ["numbers", "numerals"]


@SHELLS
def test_completion_never_writes_an_error(complete, shell, project):
    (project / "meta.yaml").write_text("name: [\n")
    assert complete[shell]("forgather", "pp", "-t", "") == []
    assert complete[shell]("forgather", "-p", "/nowhere", "pp", "-t", "") == []
