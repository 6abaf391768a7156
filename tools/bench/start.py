"""How long the command line takes to start, relative to a Python that does nothing."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

from tools.bench.measure import interleaved, machine, ratios, seconds_of

PROJECT = Path(__file__).parents[2] / "examples" / "tutorials" / "tiny_llama"
PEER = "python -c pass"


def run(rounds: int) -> dict[str, Any]:
    """Seconds and ratios of several commands."""
    forgather = [sys.executable, "-m", "fg_cli"]
    commands = {
        PEER: [sys.executable, "-c", "pass"],
        "forgather --help": [*forgather, "--help"],
        "forgather ls": [*forgather, "-p", str(PROJECT), "ls"],
        "forgather pp": [*forgather, "-p", str(PROJECT), "pp"],
        "forgather train --dry-run": [*forgather, "-p", str(PROJECT), "train", "--dry-run"],
        "python -c 'import torch'": [sys.executable, "-c", "import torch"],
    }
    figures = interleaved({name: lambda c=command: seconds_of(c) for name, command in commands.items()}, rounds)
    return {
        "what": "seconds of wall clock from start to exit",
        "machine": machine("jinja2", "pyyaml", "torch"),
        "seconds": {name: round(statistics.median(values), 4) for name, values in figures.items()},
        f"ratio to {PEER}": {name: round(ratio, 2) for name, ratio in ratios(figures, PEER).items()},
        "rounds": {name: [round(value, 4) for value in values] for name, values in figures.items()},
    }
