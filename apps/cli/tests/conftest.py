"""A workspace with one project, and the command run as a user runs it: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SMALL_CONFIG = """\
-- set ns = namespace()
meta: {config_name: "Small", config_description: "two numbers", config_class: "type.none"}
dynamic_args: !dlist
    seed: {names: ["--seed"], type: "int", help: "where the numbers start"}
main: !call:dict
    first: {{ seed | default(1) }}
    second: 2
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "forgather_workspace").mkdir()
    configs = tmp_path / "numbers" / "templates" / "configs"
    configs.mkdir(parents=True)
    (configs.parents[1] / "meta.yaml").write_text('name: "Numbers"\ndefault_config: "small.yaml"\n')
    (configs / "small.yaml").write_text(SMALL_CONFIG)
    (configs / "other.yaml").write_text(SMALL_CONFIG.replace("Small", "Other"))
    return configs.parents[1]


@pytest.fixture
def forgather(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    environment = {**os.environ, "FORGATHER_CONFIG_DIR": str(tmp_path / "user")}

    def run(*words: str | Path, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fg_cli", *map(str, words)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)

    return run
