"""The terminal sessions in the documentation show what really happens.

A page with `console run` blocks is played from top to bottom in an empty folder. A block whose fence names a file
(`yaml templates/base.yaml`) writes that file. In a `console run` block a line that begins with `$ ` is a command, and
what follows is all that it prints; `…` stands for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools import markdown
from tools.workspace import Workspace

_LIMIT_SECONDS: Final = 120.0
_JOBS: Final = 2
_FILE_BLOCK: Final = re.compile(r"(?:yaml|python|text|toml)\s+(?P<path>[\w./-]+\.\w+)")
_RUN: Final = "console run"
# The next command goes on in the directory that this one ended in.
_KEEP_DIRECTORY: Final = '\ncode=$?; pwd > "$SESSION_DIRECTORY"; exit $code'


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A command of a session, what the page says that it prints, and where it stands."""

    place: str
    text: str
    prints: str


def check_sessions(workspace: Workspace) -> list[str]:
    """Commands that print something else than their page says."""
    pages = [page for page in workspace.markdown_files() if f"```{_RUN}\n" in page.read_text(encoding="utf-8")]
    with ThreadPoolExecutor(_JOBS) as pool:
        return [finding for findings in pool.map(_play, pages, [workspace] * len(pages)) for finding in findings]


def _play(page: Path, workspace: Workspace) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="forgather-session-") as scratch:
        folder = Path(scratch) / "session"
        folder.mkdir()
        directory_file = Path(scratch) / "directory"
        directory_file.write_text(str(folder), encoding="utf-8")
        return list(_steps(page, workspace.relative(page), directory_file))


def _steps(page: Path, name: str, directory_file: Path) -> Iterator[str]:
    for block in markdown.code_blocks(page.read_text(encoding="utf-8")):
        here = Path(directory_file.read_text(encoding="utf-8").strip())
        if match := _FILE_BLOCK.fullmatch(block.info):
            target = here / match["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.info == _RUN:
            for command in commands(block, name):
                yield from _difference(command, _run(command.text, directory_file))


def commands(block: markdown.CodeBlock, name: str) -> Iterator[Command]:
    """The commands of a `console run` block."""
    text, line, printed = "", 0, list[str]()
    for number, content in enumerate([*block.text.splitlines(), "$ "], block.line + 1):
        if not content.startswith("$ "):
            printed.append(content)
            continue
        if text:
            yield Command(place=f"{name}:{line}", text=text, prints="\n".join(printed).strip("\n"))
        text, line, printed = content.removeprefix("$ "), number, list[str]()


def _run(text: str, directory_file: Path) -> str:
    """What a command prints, standard error included."""
    settings = {
        "FORGATHER_CONFIG_DIR": str(directory_file.parent / "settings"),
        "SESSION_DIRECTORY": str(directory_file),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-c", text + _KEEP_DIRECTORY],
        cwd=directory_file.read_text(encoding="utf-8").strip(), env=os.environ | settings, check=False, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_LIMIT_SECONDS,
    )  # fmt: skip
    return done.stdout.strip("\n").replace(str(directory_file.parent / "session"), "~")


def _difference(command: Command, printed: str) -> Iterator[str]:
    """One finding if the output is not what the page shows; blanks at line ends do not count."""
    wanted, seen = (re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE) for text in (command.prints, printed))
    pattern = ".*".join(re.escape(piece) for piece in wanted.split("…"))
    if not re.fullmatch(pattern, seen, re.DOTALL):
        yield f"{command.place}: `{command.text}` prints\n{seen}"
