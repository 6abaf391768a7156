"""Parts of the interactive shell: history, choices from a list, the editor that is opened."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg_config import ConfigError
from fg_config.shell.editor import EditorError, editor_command, open_in_editor
from fg_config.shell.history import LIMIT, History
from fg_config.shell.selection import chosen_numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1,3,5-8", [1, 3, 5, 6, 7, 8]), ("2", [2]), ("", []), ("3 1", [3, 1]), (" 2-3, 3,1 ", [2, 3, 1]), ("8-8", [8])],
)
def test_choices(text, numbers):
    assert chosen_numbers(text, 8) == numbers


@pytest.mark.parametrize("text", ["0", "9", "5-9", "3-2", "a", "1-", "-2", "1.5"])
def test_what_is_no_choice_is_named(text):
    with pytest.raises(ConfigError, match="is no choice") as caught:
        chosen_numbers(text, 8)
    assert "from 1 to 8" in str(caught.value)


@given(st.lists(st.integers(1, 50), unique=True))
def test_a_written_choice_reads_back(numbers):
    assert chosen_numbers(",".join(map(str, numbers)), 50) == numbers


def test_history_keeps_the_newest_lines(tmp_path):
    history = History(tmp_path)
    history.file.write_text("".join(f"line {number}\n" for number in range(LIMIT + 5)))
    history.append("the last")
    lines = history.lines()
    assert (len(lines), lines[0], lines[-1]) == (LIMIT, "line 6", "the last")
    assert history.file.read_text().splitlines() == lines == history.lines()


WRITER = """
import sys
from pathlib import Path
from fg_config.shell.history import History
for number in range(200):
    History(Path(sys.argv[1])).append(f"{sys.argv[2]} {'x' * 50} {number}")
"""


def test_shells_that_write_at_once_never_mix_their_lines(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, name]) for name in "abc"]
    try:
        assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    finally:
        for writer in writers:
            writer.kill()
    wanted = {f"{name} {'x' * 50} {number}" for name in "abc" for number in range(200)}
    lines = History(tmp_path).lines()
    assert len(lines) == 600 and set(lines) == wanted


@pytest.fixture
def programs(tmp_path):
    def install(*names: str) -> dict[str, str]:
        for name in names:
            (tmp_path / name).write_text("#!/bin/sh\nexit 3\n")
            (tmp_path / name).chmod(0o755)
        return {"PATH": str(tmp_path)}

    return install


def test_the_editor_around_the_terminal_comes_first(programs, tmp_path):
    everything = programs("code", "nvim", "vim", "ed")
    assert editor_command({**everything, "VSCODE_IPC_HOOK_CLI": "/run/x", "EDITOR": "ed"})[0] == f"{tmp_path}/code"
    assert editor_command({**everything, "NVIM": "/run/n", "EDITOR": "ed"}) == [
        *(f"{tmp_path}/nvim", "--server", "/run/n", "--remote"),
    ]
    assert editor_command({**everything, "VIM_SERVERNAME": "GVIM", "EDITOR": "ed"}) == [
        *(f"{tmp_path}/vim", "--servername", "GVIM", "--remote"),
    ]


def test_then_the_named_editor_then_vim(programs, tmp_path):
    found = programs("vim")
    assert editor_command({**found, "EDITOR": "emacs -nw", "VISUAL": ""}) == ["emacs", "-nw"]
    assert editor_command({**found, "EDITOR": "emacs", "VISUAL": "kate"}) == ["kate"]
    assert editor_command(found) == [f"{tmp_path}/vim"]
    with pytest.raises(EditorError, match="no editor found"):
        editor_command({"PATH": str(tmp_path / "empty")})


def test_opening_returns_the_code_of_the_editor(programs, tmp_path, monkeypatch):
    programs("my-editor")
    monkeypatch.setenv("VISUAL", str(tmp_path / "my-editor"))
    monkeypatch.delenv("VSCODE_IPC_HOOK_CLI", raising=False)
    assert open_in_editor([tmp_path / "file"]) == 3
    monkeypatch.setenv("VISUAL", str(tmp_path / "nothing"))
    with pytest.raises(EditorError, match="cannot be started: No such file"):
        open_in_editor([tmp_path / "file"])


def test_an_editor_of_the_terminal_is_not_started_without_one(programs, tmp_path, monkeypatch):
    programs("vim", "window")
    monkeypatch.delenv("VSCODE_IPC_HOOK_CLI", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    for words in (f"{tmp_path}/vim", f"{tmp_path}/vim -R"):
        monkeypatch.setenv("VISUAL", words)
        with pytest.raises(EditorError, match="needs a terminal, and here is none") as error:
            open_in_editor([tmp_path / "file"])
        assert f"open {tmp_path}/file in a terminal" in str(error.value)
    monkeypatch.setenv("VISUAL", f"{tmp_path}/window")
    assert open_in_editor([tmp_path / "file"]) == 3
