"""Interleaved timing and the record every benchmark leaves."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fg_kernels.measuring.files import as_json
from fg_kernels.measuring.machine import machine as describe

RECORDS = Path(__file__).parents[2] / "docs" / "benchmarks"


def interleaved(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every contender once per round, in turn, so that a machine that slows down slows all of them.

    A contender returns its own figure (seconds, or a rate).
    """
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, run in contenders.items():
            figures[name].append(run())
            print(f"round {number + 1}/{rounds}  {name:24s} {figures[name][-1]:12.4g}", flush=True)
    return figures


def ratios(figures: Mapping[str, list[float]], peer: str) -> dict[str, float]:
    """Median over the rounds of each contender's figure divided by that of `peer` in the same round."""
    return {
        name: statistics.median(mine / theirs for mine, theirs in zip(values, figures[peer], strict=True))
        for name, values in figures.items()
    }


def seconds_of(command: list[str]) -> float:
    """Wall clock of a command that must succeed."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def machine(*packages: str) -> dict[str, Any]:
    """What a reader needs to place the figures."""
    active = os.environ.get("HATCH_ENV_ACTIVE", "default")
    program = "hatch run bench" if active == "default" else f"hatch -e {active} run python -m tools.bench"
    return describe(" ".join([program, *sys.argv[1:]]), *packages)


def write_record(name: str, record: Mapping[str, Any], folder: Path = RECORDS) -> Path:
    """Store a result as `<name>.json` in `docs/benchmarks`; what is no number becomes null."""
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_json(record) + "\n")
    return path
