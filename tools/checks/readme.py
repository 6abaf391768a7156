"""The root README's table "I want to change X" leads to rooms that exist."""

from __future__ import annotations

import re
import shlex

from tools import markdown
from tools.workspace import Workspace

HEADING = "I want to change …"
_TEST_COMMAND = ["hatch", "run", "test"]


def check_change_table(workspace: Workspace) -> list[str]:
    """Rows whose distribution, files or test command do not exist, and distributions without a row.

    A row reads: what to change | `distribution` | `path` … | `hatch run test …`.
    """
    lines = markdown.section((workspace.root / "README.md").read_text(encoding="utf-8"), HEADING)
    rows = [(number, _cells(line)) for number, line in lines if line.startswith("|")][2:]
    if not rows:
        return [f"README.md: no table below the heading {HEADING!r}"]
    findings = [f"README.md:{number}: {problem}" for number, cells in rows for problem in _problems(workspace, cells)]
    named = {name for _, cells in rows for name in _code(cells[1] if len(cells) > 1 else "")}
    return findings + [
        f"README.md: {name} has no row below {HEADING!r}" for name in workspace.names if name not in named
    ]


def _problems(workspace: Workspace, cells: list[str]) -> list[str]:
    if len(cells) != 4:
        return [f"a row has four cells, not {len(cells)}: {' | '.join(cells)}"]
    _, distributions, paths, command = (_code(cell) for cell in cells)
    problems = [f"no distribution is named {name}" for name in distributions if name not in workspace.names]
    problems += [f"{path} does not exist" for path in paths if not (workspace.root / path).exists()]
    if not paths:
        problems.append("names no file")
    return problems + [problem for text in command for problem in _command_problems(workspace, text)]


def _command_problems(workspace: Workspace, text: str) -> list[str]:
    words = shlex.split(text)
    if words[:3] != _TEST_COMMAND:
        return [f"{text!r} does not begin with {' '.join(_TEST_COMMAND)!r}"]
    known = {*workspace.names, "repository"}
    suites = [word for word in words[3:] if not word.startswith("-")]
    return [f"{text!r}: {word} is no suite or path" for word in suites if not _is_suite(workspace, word, known)]


def _is_suite(workspace: Workspace, word: str, known: set[str]) -> bool:
    return word in known or (workspace.root / word).exists()


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)
