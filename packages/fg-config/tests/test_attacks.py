"""A list of attacks: configs that try to run something, leave their project, or take all memory.

The cases are in `attacks/*.yaml`. Each is a project whose config `main` is built by `forgather construct` without any
trust: the command must end with exit code 2 and a `ConfigError` of the given code, and nothing may have run: what the
attacks do is create the file CANARY.

In the texts of a case CANARY, PROJECT and OUTSIDE stand for paths, and REPEAT(text,n) for a text n times.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent
FILES = sorted((HERE / "attacks").glob("*.yaml"))
CASES = [
    pytest.param(f"{file.stem}: {case['name']}", case, id=f"{file.stem}: {case['name']}")
    for file in FILES
    for case in yaml.safe_load(file.read_text())
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the command said, its exit code, and whether the attack ran."""

    code: object
    said: str
    ran: bool


class Scene:
    """The directories of one attack."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project = root / "inside" / "workspace" / "project"
        self.outside = root / "outside"
        self.canary = root / "canary"

    def prepare(self, case: dict[str, Any]) -> dict[str, Any]:
        """Write the files of the case; what the runner needs to know."""
        (self.project.parent / "forgather_workspace").mkdir(parents=True)
        self._write("meta.yaml", "default_config: main.yaml\n")
        self._write("OUTSIDE/evil.py", "def run(): ...\n\nopen('CANARY', 'w')\n")
        self._write("OUTSIDE/config.yaml", "main: secret\n")
        for name, text in {**case.get("files", {}), "templates/configs/main.yaml": case["main"]}.items():
            self._write(name, text)
        for name, target in case.get("links", {}).items():
            (self.project / name).symlink_to(self._text(target))
        environment = {name: self._text(value) for name, value in case.get("environment", {}).items()}
        config = {"FORGATHER_CONFIG_DIR": str(self.root / "user")}
        answer = str(self.root / "answer.json")
        return {"project": str(self.project), "environment": {**config, **environment}, "answer": answer}

    def outcome(self) -> Outcome:
        """What the runner wrote down."""
        answer = json.loads((self.root / "answer.json").read_text())
        return Outcome(**answer, ran=self.canary.exists())

    def _write(self, name: str, text: str) -> None:
        path = self.project / self._text(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._text(text))

    def _text(self, text: str) -> str:
        for word, path in {"CANARY": self.canary, "PROJECT": self.project, "OUTSIDE": self.outside}.items():
            text = text.replace(word, str(path))
        return re.sub(r"REPEAT\((.*?),(\d+)\)", lambda found: found[1] * int(found[2]), text)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """All attacks in one process, which forks for each."""
    directory = tmp_path_factory.mktemp("attacks")
    scenes = {str(case.values[0]): Scene(directory / str(number)) for number, case in enumerate(CASES)}
    orders = [scenes[str(name)].prepare(case) for name, case in (each.values for each in CASES)]
    (directory / "cases.json").write_text(json.dumps(orders))
    command = [sys.executable, str(HERE / "attack_runner.py"), str(directory)]
    subprocess.run(command, check=True, timeout=240, cwd=directory, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    return {name: scene.outcome() for name, scene in scenes.items()}


@pytest.mark.parametrize(("name", "case"), CASES)
def test_nothing_runs_and_the_message_is_clear(outcomes: dict[str, Outcome], name: str, case: dict[str, Any]) -> None:
    if case.get("needs") and find_spec(case["needs"]) is None:
        pytest.skip(f"{case['needs']} is not installed")
    outcome = outcomes[name]
    assert not outcome.ran
    assert outcome.code == 2, outcome.said
    assert f"error[{case['error']}" in outcome.said
    assert "Traceback" not in outcome.said


def test_the_list_is_long_and_names_each_case_once() -> None:
    names = [case.values[0] for case in CASES]
    assert len(names) == len(set(names)) >= 40


def test_what_the_attacks_do_works_when_it_is_allowed(tmp_path: Path) -> None:
    """The canary is real: under `--trust` the same config creates it."""
    scene = Scene(tmp_path)
    order = scene.prepare({"main": 'main: !call:os:system ["touch CANARY"]\n'})
    command = [sys.executable, "-m", "fg_config", "construct", "--trust", "-p", order["project"]]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **order["environment"]})
    assert (done.returncode, scene.canary.exists()) == (0, True), done.stderr
