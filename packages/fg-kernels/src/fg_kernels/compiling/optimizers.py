"""Bytes of global memory that a step of an optimizer moves for each parameter, from its compiled kernels.

bf16 parameters and gradients in large matrices of 4096 columns, stochastic rounding. What a step must move is known:
each stream of bf16 is 2 bytes, of fp32 4. What the kernels move beyond that are tables, factors and partial sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from fg_kernels.compiling.code import Compiled, compile_case
from fg_kernels.triton.cases import compile_cases

STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Adafactor": ("adafactor_sums/bf16", "adafactor_norms/bf16", "adafactor_apply/bf16-bf16-sr"),
    "Adafactor, one matrix": (
        "adafactor_sums/bf16-divided",
        "adafactor_fold",
        "adafactor_norms/bf16-divided",
        "adafactor_apply/bf16-bf16-sr",
    ),
    "AdamW": ("adamw/state32",),
    "AdamW, bf16 state": ("adamw/state16",),
    "AdamW, 8-bit state": ("adamw/state8",),
    "SGD": ("sgd/plain",),
    "SGD, momentum": ("sgd/momentum",),
}
"""The launches of a step: cases by name."""

STREAMS: Final[Mapping[str, int]] = {
    "Adafactor": 3 * 2 + 2 * 2,
    "Adafactor, one matrix": 3 * 2 + 2 * 2,
    "AdamW": 2 + 2 * 2 + 2 * (4 + 4),
    "AdamW, bf16 state": 2 + 2 * 2 + 2 * (2 + 2),
    "AdamW, 8-bit state": 2 + 2 * 2 + 2 * (1 + 1),
    "SGD": 2 + 2 * 2,
    "SGD, momentum": 2 + 2 * 2 + 2 * 4,
}
"""Bytes for each parameter that the method moves at least: gradient (Adafactor: thrice), parameter and state."""


class StepTraffic(NamedTuple):
    """Bytes for each parameter and step."""

    launches: int
    read: float
    written: float
    streams: int
    """What the method moves at least."""

    @property
    def bytes(self) -> float:
        """Read and written."""
        return self.read + self.written


def optimizer_traffic(arch: int = 90) -> dict[str, StepTraffic]:
    """Compile the kernels of every optimizer for one architecture and add up what its launches move."""
    wanted = {launch for launches in STEPS.values() for launch in launches}
    return steps_of({case.name: compile_case(case, arch) for case in compile_cases(arch) if case.name in wanted})


def steps_of(figures: Mapping[str, Compiled]) -> dict[str, StepTraffic]:
    """The steps all of whose launches are in `figures`, which are by name of the case."""
    found = {}
    for optimizer, names in STEPS.items():
        if all(name in figures for name in names):
            launches = [figures[name] for name in names]
            read, written = sum(launch.read for launch in launches), sum(launch.written for launch in launches)
            found[optimizer] = StepTraffic(len(launches), read, written, STREAMS[optimizer])
    return found


def traffic_text(traffic: Mapping[str, StepTraffic]) -> str:
    """A table, one line for each optimizer."""
    lines = [f"{'bytes per parameter and step':<30} {'launches':>8} {'read':>9} {'written':>9} {'all':>9} {'least':>6}"]
    for name, step in traffic.items():
        lines.append(
            f"{name:<30} {step.launches:>8} {step.read:>9.4f} {step.written:>9.4f} {step.bytes:>9.4f} {step.streams:>6}"
        )
    return "\n".join(lines)
