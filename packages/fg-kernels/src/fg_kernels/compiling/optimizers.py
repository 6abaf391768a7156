"""Bytes of global memory that a step of an optimizer moves for each parameter, from its compiled kernels.

bf16 parameters and gradients in large matrices of 4096 columns, stochastic rounding. What a step must move is known:
each stream of bf16 is 2 bytes, of fp32 4. What the kernels move beyond that are tables, factors and partial sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from fg_kernels.compiling.code import compile_case
from fg_kernels.triton.cases import compile_cases

STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Adafactor": ("adafactor_sums/bf16", "adafactor_norms/bf16", "adafactor_apply/bf16-bf16-sr"),
    "AdamW": ("adamw/state32",),
    "AdamW, bf16 state": ("adamw/state16",),
    "AdamW, 8-bit state": ("adamw/state8",),
    "SGD": ("sgd/plain",),
    "SGD, momentum": ("sgd/momentum",),
}
"""The launches of a step: cases by name."""

STREAMS: Final[Mapping[str, int]] = {
    "Adafactor": 3 * 2 + 2 * 2,
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


def optimizer_traffic(arch: int = 90, optimizers: Iterable[str] = STEPS) -> dict[str, StepTraffic]:
    """Compile the kernels of each optimizer for one architecture and add up what its launches move."""
    cases = {case.name: case for case in compile_cases(arch)}
    found = {}
    for optimizer in optimizers:
        launches = [compile_case(cases[name], arch) for name in STEPS[optimizer]]
        found[optimizer] = StepTraffic(
            launches=len(launches),
            read=sum(launch.read for launch in launches),
            written=sum(launch.written for launch in launches),
            streams=STREAMS[optimizer],
        )
    return found


def traffic_text(traffic: Mapping[str, StepTraffic]) -> str:
    """A table, one line for each optimizer."""
    lines = [f"{'bytes per parameter and step':<30} {'launches':>8} {'read':>9} {'written':>9} {'all':>9} {'least':>6}"]
    for name, step in traffic.items():
        lines.append(
            f"{name:<30} {step.launches:>8} {step.read:>9.4f} {step.written:>9.4f} {step.bytes:>9.4f} {step.streams:>6}"
        )
    return "\n".join(lines)
