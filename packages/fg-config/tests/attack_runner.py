"""Builds the target `main` of one attack after the other, each in a forked process with little memory and time.

Usage: `attack_runner.py DIRECTORY`, which holds `cases.json`. Prints one line of JSON per case: what the command said
and its exit code, or how the process ended.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import jinja2.sandbox  # noqa: F401  # once here, not once in each fork
import yaml

import fg_config.projects.policies
import fg_config.projects.project  # noqa: F401
from fg_config import commands
from fg_config.building.rules import default_rules
from fg_config.command_line import main

MEMORY = 1 << 30
SECONDS = 10


def run_case(case: dict[str, Any]) -> None:
    """Run `construct` on the case and write what it said as JSON to its file."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    os.environ.update(case["environment"])
    said, code = io.StringIO(), None
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            code = main(commands, ["construct", "-p", case["project"]], prog="forgather")
    except SystemExit as stopped:
        code = stopped.code
    finally:  # without a code when something was raised that is no message
        Path(case["answer"]).write_text(json.dumps({"code": code, "said": said.getvalue()}))


def end_of(child: int) -> int:
    """The status of the child, which is killed when its time is over."""
    deadline = time.monotonic() + 2 * SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def main_loop(directory: Path) -> None:
    """Every case in a process of its own."""
    default_rules()
    for case in json.loads((directory / "cases.json").read_text()):
        child = os.fork()
        if child == 0:
            try:
                run_case(case)
            finally:
                os._exit(0)
        status = end_of(child)
        if not Path(case["answer"]).exists():
            Path(case["answer"]).write_text(json.dumps({"code": f"ended with status {status}", "said": ""}))


if __name__ == "__main__":
    assert yaml.__with_libyaml__
    main_loop(Path(sys.argv[1]))
