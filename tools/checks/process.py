"""Running a tool in a process of its own and keeping what it said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_python(
    arguments: Sequence[str | Path],
    *,
    cwd: Path,
    paths: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
    timeout: float = 300.0,
) -> tuple[int, str]:
    """Run `python ARGUMENTS`; the exit code and standard output and error in one text.

    Args:
        arguments: module, script or code options of the interpreter.
        cwd: working directory.
        paths: folders that come before everything else on the module search path.
        environment: variables set on top of the inherited ones.
        timeout: seconds; a process that takes longer is killed and its exit code is 124.
    """
    variables = {"OMP_NUM_THREADS": "1"} | os.environ | dict(environment or {})
    if paths:
        variables["PYTHONPATH"] = os.pathsep.join(str(path) for path in paths)
    command = [sys.executable, *map(str, arguments)]
    try:
        done = subprocess.run(
            command, cwd=cwd, env=variables, timeout=timeout, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124, f"killed after {timeout:.0f} s"
    return done.returncode, done.stdout.strip()


def last_lines(text: str, count: int = 12) -> str:
    """The end of a tool's output, which is where the reason stands."""
    return "\n".join(text.splitlines()[-count:])
