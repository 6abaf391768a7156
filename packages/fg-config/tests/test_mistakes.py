"""What a user reads after a realistic mistake: one message, at the line that is wrong, with a way out.

The cases stand in `mistakes/*.txt`: a title, the command, the files of a small project, and the output to the letter.
The line that is wrong carries the comment `## wrong`, so the place in the output is checked and not just recorded.
`UPDATE_MISTAKES=1 hatch run test packages/fg-config/tests/test_mistakes.py` writes the outputs anew, for review.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from fg_config import commands
from fg_config.command_line import main

FOLDER = Path(__file__).parent / "mistakes"
MARK = "## wrong"
_TITLE = re.compile(r"^##### ", re.MULTILINE)
_FILE = re.compile(r"^@@@ (.*)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    title: str
    command: str
    files: dict[str, str]
    output: str

    @property
    def place(self) -> str | None:
        """`file:line` of the mark."""
        found = [
            f"{name}:{number}"
            for name, text in self.files.items()
            for number, line in enumerate(text.split("\n"), 1)
            if MARK in line
        ]
        assert len(found) <= 1, "one line is wrong"
        return found[0] if found else None

    def text(self, output: str) -> str:
        """The case as it stands in its file."""
        files = "".join(f"@@@ {name}\n{text}" for name, text in self.files.items())
        return f"##### {self.title}\n$ forgather {self.command}\n{files}@@@ output\n{output}"


def read(path: Path) -> list[Mistake]:
    return [_parse(text) for text in _TITLE.split(path.read_text(encoding="utf-8"))[1:]]


def _parse(text: str) -> Mistake:
    head, *parts = _FILE.split(text)
    title, command = head.strip().split("\n")
    files = dict(zip(parts[::2], parts[1::2], strict=True))
    return Mistake(title=title, command=command.removeprefix("$ forgather "), output=files.pop("output"), files=files)


CASES = [(path, case) for path in sorted(FOLDER.glob("*.txt")) for case in read(path)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "workspace" / "project"
    (tmp_path / "workspace" / "forgather_workspace").mkdir(parents=True)
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "user"))
    monkeypatch.setenv("COLUMNS", "120")
    return folder


@pytest.mark.parametrize(("path", "case"), CASES, ids=[f"{path.stem}: {case.title}" for path, case in CASES])
def test_the_message(path: Path, case: Mistake, project: Path, capsys: pytest.CaptureFixture[str]):
    for name, text in {"meta.yaml": "", **case.files}.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    code, output = _run(case.command, project, capsys)
    if os.environ.get("UPDATE_MISTAKES"):
        _update(path, case, output)
    else:
        assert output == case.output
    assert code in ((1,) if case.command.startswith(("check", "ls")) else (2,)), "a mistake of the user is exit code 2"
    reports = re.findall(r"(?:error|warning|note)\[FG\d{4}\]: |: error: ", output)
    assert len(reports) == 1, "one mistake, one message"
    assert "help: " in output, "every message says what to do"
    if case.place:
        (found, *_) = re.findall(r"--> ([^\s:]+:\d+)", output) or re.findall(r"\((\S+:\d+)\)", output)
        assert found == case.place


def _run(command: str, project: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    try:
        code = main(commands, command.split(), prog="forgather")
    except SystemExit as stopped:  # argparse
        code = int(stopped.code or 0)
    captured = capsys.readouterr()
    text = captured.out + captured.err
    user = os.environ["FORGATHER_CONFIG_DIR"]
    for place, name in ((project, ""), (project.parent, "WORKSPACE"), (user, "USER")):
        text = text.replace(f"{place}/", f"{name}/" if name else "").replace(str(place), name or "PROJECT")
    return code, text


def _update(path: Path, case: Mistake, output: str) -> None:
    old = path.read_text(encoding="utf-8")
    assert case.text(case.output) in old
    path.write_text(old.replace(case.text(case.output), case.text(output)), encoding="utf-8")


def test_the_list_is_long_enough_to_mean_something():
    assert len(CASES) >= 60
    assert len({case.title for _, case in CASES}) == len(CASES)
