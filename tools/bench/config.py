"""What reading a config costs, beside Hydra composing an equal one.

Processes are measured by the CPU seconds they use (user and system), because other work on a machine changes the wall
clock more. Both sides find the byte code of their modules compiled, as after an installation.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tools.bench.config_trees import expected, write_hydra, write_ours, write_tree
from tools.bench.measure import interleaved, machine, ratios

EXAMPLES = Path(__file__).parents[2] / "examples"
PROJECT = EXAMPLES / "tutorials" / "tiny_llama"
PEER = "python -c pass"
OURS_COLD = "import sys, fg_config; fg_config.ConfigEnvironment(sys.argv[1]).load('config.yaml').graph"
HYDRA_COLD = """\
import sys, hydra
with hydra.initialize_config_dir(sys.argv[1], version_base=None):
    hydra.compose('config')
"""
_FIRST = "import time; began = time.process_time(); {}; print(time.process_time() - began)"
OURS_FIRST = f"""\
import sys
from fg_config import ConfigEnvironment
environment = ConfigEnvironment(sys.argv[1])
{_FIRST.format("environment.load('config.yaml').graph")}
"""
HYDRA_FIRST = f"""\
import sys, hydra
hydra.initialize_config_dir(sys.argv[1], version_base=None)
{_FIRST.format("hydra.compose('config')")}
"""
TREES = (25, 50, 100)
REPEATS = 20


def run(rounds: int) -> dict[str, Any]:
    """CPU seconds and ratios, in new processes and within one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder)
        commands = interleaved(_commands(folder), rounds)
        trees = interleaved(_listings(folder), max(rounds // 2, 1))
        firsts = interleaved(_first_calls(folder), rounds)
        compositions = interleaved(_compositions(folder), rounds)
    measured = {"process": commands, "trees": trees, "first": firsts, "later": compositions}
    _print_table("new process", commands, PEER)
    _print_table("first config of a process", firsts, "hydra.compose")
    _print_table("within a process", compositions, "hydra.compose")
    return {
        "what": (
            "CPU seconds (user + system): of a new process from start to exit, of the first call in a process that has"
            " imported what it needs, and of a later call"
        ),
        "machine": machine("jinja2", "pyyaml", "hydra-core", "omegaconf"),
        "new process": _summary(commands, PEER),
        "ls -r by number of configs": {name: round(statistics.median(values), 4) for name, values in trees.items()},
        "first config of a process": _summary(firsts, "hydra.compose"),
        "within a process": _summary(compositions, "hydra.compose"),
        "rounds": {
            title: {name: [round(value, 5) for value in values] for name, values in figures.items()}
            for title, figures in measured.items()
        },
    }


def _write(folder: Path) -> None:
    write_ours(folder / "ours")
    write_hydra(folder / "hydra")
    for levels in (10, 20, 40):
        write_ours(folder / f"levels {levels}", levels)
    for projects in TREES:
        write_tree(folder / f"tree {projects}", projects)


def _summary(figures: Mapping[str, list[float]], peer: str) -> dict[str, Any]:
    return {
        "seconds": {name: round(statistics.median(values), 5) for name, values in figures.items()},
        f"ratio to {peer}": {name: round(ratio, 3) for name, ratio in ratios(figures, peer).items()},
    }


def _print_table(title: str, figures: Mapping[str, list[float]], peer: str) -> None:
    print(f"\n{title:40s} {'ms':>9s}   ratio to {peer}")
    for name, ratio in ratios(figures, peer).items():
        print(f"{name:40s} {statistics.median(figures[name]) * 1000:9.2f}   {ratio:.2f}")


# --- new processes ------------------------------------------------------------------------------------------------


def _commands(folder: Path) -> dict[str, Callable[[], float]]:
    python, forgather = [sys.executable], [sys.executable, "-m", "fg_cli"]
    ours = [*python, "-c", OURS_COLD, str(folder / "ours")]
    commands = {
        PEER: [*python, "-c", "pass"],
        "import jinja2, yaml, argparse, dataclasses": [
            *python,
            "-c",
            "import jinja2.sandbox, yaml, argparse, dataclasses",
        ],
        "forgather --help": [*forgather, "--help"],
        "forgather ls": [*forgather, "-p", str(PROJECT), "ls"],
        "forgather pp": [*forgather, "-p", str(PROJECT), "pp"],
        "forgather ls -r (all examples)": [*forgather, "ls", "-r", str(EXAMPLES)],
        "300 values, cache of templates filled": ours,
        "300 values, Hydra": [*python, "-c", HYDRA_COLD, str(folder / "hydra")],
    }
    environment = _environment(folder)
    measured = {name: _process(command, environment) for name, command in commands.items()}
    return {**measured, "300 values, no cache of templates": _process(ours, environment | {"FORGATHER_CACHE_DIR": ""})}


def _listings(folder: Path) -> dict[str, Callable[[], float]]:
    environment = _environment(folder)
    listing = [sys.executable, "-m", "fg_cli", "ls", "-r"]
    return {
        f"{10 * projects} configs": _process([*listing, str(folder / f"tree {projects}")], environment)
        for projects in TREES
    }


def _environment(folder: Path) -> dict[str, str]:
    """Byte code and compiled templates belong to this run, and are there after the first call of each command."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return inherited | {
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
        "FORGATHER_CACHE_DIR": str(folder / "cache"),
        "FORGATHER_CONFIG_DIR": str(folder / "user"),
    }


def _process(command: list[str], environment: Mapping[str, str]) -> Callable[[], float]:
    cpu_seconds(command, environment)  # fills the caches
    return lambda: cpu_seconds(command, environment)


def cpu_seconds(command: list[str], environment: Mapping[str, str]) -> float:
    """User and system time of a command that must succeed."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, null, 1)]
        process = os.posix_spawn(command[0], command, environment, file_actions=actions)
        _, status, used = os.wait4(process, 0)
    finally:
        os.close(null)
    if status:
        raise RuntimeError(f"exit status {os.waitstatus_to_exitcode(status)}: {command}")
    return used.ru_utime + used.ru_stime


# --- the first config of a process ----------------------------------------------------------------------------------


def _first_calls(folder: Path) -> dict[str, Callable[[], float]]:
    """Imports are done and Hydra is initialised; neither side has read a file."""
    environment = _environment(folder)
    ours = [sys.executable, "-c", OURS_FIRST, str(folder / "ours")]
    return {
        "hydra.compose": _said([sys.executable, "-c", HYDRA_FIRST, str(folder / "hydra")], environment),
        "render and read, cache of templates filled": _said(ours, environment),
        "render and read, no cache of templates": _said(ours, environment | {"FORGATHER_CACHE_DIR": ""}),
    }


def _said(command: list[str], environment: Mapping[str, str]) -> Callable[[], float]:
    """The seconds that the command prints."""

    def measure() -> float:
        return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)

    measure()  # fills the caches
    return measure


# --- within a process ---------------------------------------------------------------------------------------------


def _compositions(folder: Path) -> dict[str, Callable[[], float]]:
    """Both sides read the files of the same config, and say the same; Hydra is initialised once, before."""
    import hydra
    from omegaconf import OmegaConf

    from fg_config import ConfigEnvironment

    hydra.initialize_config_dir(str(folder / "hydra"), version_base=None)
    ours = ConfigEnvironment(folder / "ours")
    assert OmegaConf.to_container(hydra.compose("config")) == expected() == ours.load("config.yaml").graph.root
    chains = {levels: ConfigEnvironment(folder / f"levels {levels}") for levels in (10, 20, 40)}
    return {
        "hydra.compose": _repeated(lambda: hydra.compose("config")),
        "render and read": _repeated(lambda: ours.load("config.yaml").graph),
        "render": _repeated(lambda: ours.preprocess("config.yaml")),
        **{
            f"render a chain of {levels} templates": _repeated(lambda e=each: e.preprocess("config.yaml"))
            for levels, each in chains.items()
        },
    }


def _repeated(call: Callable[[], object]) -> Callable[[], float]:
    """CPU seconds of one call, as the mean of several."""
    call()

    def measure() -> float:
        began = time.process_time()
        for _ in range(REPEATS):
            call()
        return (time.process_time() - began) / REPEATS

    return measure
