"""The code in the documentation runs.

Every `python` block is a program of its own, run in a fresh process in an empty folder. A shell block is an
illustration unless its fence says `bash run`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools import markdown
from tools.checks.process import last_lines, run_python
from tools.workspace import Workspace

_LIMIT_SECONDS = 180.0
_JOBS = 2
_RUN_SHELL = "import subprocess, sys; sys.exit(subprocess.run(['bash', '-euo', 'pipefail', sys.argv[1]]).returncode)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Snippet:
    """A code block and where it stands."""

    place: str
    language: str
    text: str


def check_snippets(workspace: Workspace) -> list[str]:
    """Blocks that end with an error or run longer than three minutes."""
    with ThreadPoolExecutor(_JOBS) as pool:
        return [finding for finding in pool.map(_run, _snippets(workspace)) if finding]


def _snippets(workspace: Workspace) -> Iterator[Snippet]:
    for page in workspace.markdown_files():
        for block in markdown.code_blocks(page.read_text(encoding="utf-8")):
            if block.info in ("python", "bash run"):
                place = f"{workspace.relative(page)}:{block.line}"
                yield Snippet(place=place, language=block.info.split()[0], text=block.text)


def _run(snippet: Snippet) -> str | None:
    with tempfile.TemporaryDirectory(prefix="forgather-snippet-") as scratch:
        folder = Path(scratch)
        script = folder / ("snippet.py" if snippet.language == "python" else "snippet.sh")
        script.write_text(snippet.text, encoding="utf-8")
        arguments = [script] if snippet.language == "python" else ["-c", _RUN_SHELL, script]
        settings = {"FORGATHER_CONFIG_DIR": str(folder / "settings")}
        exit_code, output = run_python(arguments, cwd=folder, environment=settings, timeout=_LIMIT_SECONDS)
    return f"{snippet.place}: exit code {exit_code}\n{last_lines(output)}" if exit_code else None
