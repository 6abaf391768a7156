"""What these kernels are to reach, as named gates over the rows of a benchmark.

Gates are fractions of the copy bandwidth and matrix product rate measured in the same run, so they hold for any card;
each also says what it means on an H200 (4.3 TB/s, 788 TFLOP/s). Others are ratios of a peer's time to ours in that run.
What a run has not measured counts as not run, and so does a race whose peer is not there or fails; but where ours
fails, the target is failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch

Row: TypeAlias = Mapping[str, Any]

_OURS: Final = "fg_kernels"
_TINY: Final = "fg_kernels, tiny"
_MIB: Final = 1 << 20
_BF16_BYTES: Final = 2


class NotRun(Exception):  # noqa: N818  # no error: it says which figure a run does not have
    """A target cannot be judged; the text is the reason."""


class Broken(Exception):  # noqa: N818  # the error of another, passed on
    """Ours failed where a figure was to be measured; the text is its error."""


class Figures:
    """The rows of a run, by case and contender."""

    def __init__(self, rows: Sequence[Row], device: torch.device) -> None:
        self._rows = {(row["case"], row["contender"]): row for row in rows}
        self._device = device

    def of(self, case: str, key: str, contender: str = _OURS) -> float:
        """One figure.

        Raises:
            NotRun: it was not measured.
            Broken: ours failed instead.
        """
        row = self._rows.get((case, contender))
        if row is None:
            raise NotRun(f"no case {case} on {self._device.type}")
        if key in row:
            return row[key]
        if "failed" in row:
            failed = Broken if contender.startswith(_OURS) else NotRun
            raise failed(f"{contender} failed: {row['failed']}")
        raise NotRun(f"{contender}: {row['absent']}" if "absent" in row else f"{case} has no figure {key!r}")

    def on_gpu(self, case: str, key: str, contender: str = _OURS) -> float:
        """One figure that means nothing on a CPU."""
        if self._device.type != "cuda":
            raise NotRun("needs a CUDA device")
        return self.of(case, key, contender)

    def cases(self, op: str) -> list[str]:
        """The cases of an operation that were run."""
        return list(dict.fromkeys(row["case"] for row in self._rows.values() if row["op"] == op))

    def shape(self, case: str) -> Mapping[str, int]:
        """Sizes of a case that was run."""
        return self._rows[case, _OURS]["shape"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A gate.

    Attributes:
        name: "A1".
        what: in words.
        limit: of the value.
        at_least: whether the value has to reach the limit, or must not pass it.
        value: computed from the figures of a run.
    """

    name: str
    what: str
    limit: float
    at_least: bool
    value: Callable[[Figures], float]

    def judge(self, figures: Figures) -> dict[str, Any]:
        """The verdict: passed, failed or not run."""
        gate = f"{'≥' if self.at_least else '≤'} {self.limit:g}"
        verdict = {"target": self.name, "what": self.what, "gate": gate}
        try:
            value = self.value(figures)
        except NotRun as reason:
            return verdict | {"result": "not run", "reason": str(reason)}
        except Broken as error:
            return verdict | {"result": "failed", "reason": str(error)}
        passed = value >= self.limit if self.at_least else value <= self.limit
        return verdict | {"result": "passed" if passed else "failed", "value": value}


def judged(rows: Sequence[Row], device: torch.device) -> list[dict[str, Any]]:
    """The verdict on every target."""
    figures = Figures(rows, device)
    return [target.judge(figures) for target in TARGETS]


def _fraction(case: str, key: str, contender: str = _OURS) -> Callable[[Figures], float]:
    return lambda figures: figures.on_gpu(case, key, contender)


def _speedup(case: str, *peers: str, of: str | None = None) -> Callable[[Figures], float]:
    """How many times the time of ours the fastest of these peers takes, in the same case or in case `of`."""

    def value(figures: Figures) -> float:
        ours = figures.on_gpu(case, "ms")
        return min(figures.on_gpu(of or case, "ms", peer) for peer in peers) / ours

    return value


def _at_least(name: str, what: str, limit: float, value: Callable[[Figures], float]) -> Target:
    return Target(name=name, what=what, limit=limit, at_least=True, value=value)


def _at_most(name: str, what: str, limit: float, value: Callable[[Figures], float]) -> Target:
    return Target(name=name, what=what, limit=limit, at_least=False, value=value)


def _race(name: str, what: str, limit: float, value: Callable[[Figures], float]) -> Target:
    return _at_least(name, f"{what}: its time in units of ours", limit, value)


def _noise_surcharge(figures: Figures) -> float:
    case = "adafactor/4096x11008"
    return figures.on_gpu(case, "ms") / figures.on_gpu(case, "ms", "fg_kernels, nearest") - 1


def _planned_memory(figures: Figures) -> float:
    cases = figures.cases("adafactor")
    if not cases:
        raise NotRun("no case of adafactor")
    return figures.of(cases[0], "memory per byte of Llama 2 7B")


def _measured_memory(figures: Figures) -> float:
    case = "adafactor/llama-2-7b"
    state = figures.on_gpu(case, "state bytes per parameter")
    workspace = figures.on_gpu(case, "extra peak MiB") * _MIB / figures.shape(case)["parameters"]
    return (state + workspace) / _BF16_BYTES


def _both_adamws(figures: Figures) -> float:
    cases = ("adamw/4096x11008", "adamw-bf16/4096x11008")
    return min(figures.on_gpu(case, "of copy") for case in cases)


def _working(case: str, contender: str = _OURS) -> Callable[[Figures], float]:
    return lambda figures: figures.on_gpu(case, "working MiB", contender)


def _largest_loss_error(figures: Figures) -> float:
    return max(figures.of(case, "loss error") for case in _losses(figures))


def _worst_gradient(figures: Figures) -> float:
    ours = {(case, key): figures.of(case, key) for case in _losses(figures) for key in ("dx error", "dw error")}
    return max(error / figures.of(*place, "torch, all logits") for place, error in ours.items())


def _losses(figures: Figures) -> list[str]:
    cases = figures.cases("linear_cross_entropy")
    if not cases:
        raise NotRun("no case of linear_cross_entropy")
    return cases


_LLAMA, _GEMMA = "linear_cross_entropy/llama-3-8b", "linear_cross_entropy/gemma-2-2b"
_SMALL: Final = "linear_cross_entropy/llama-3-8b-small-batch"
_MATRIX: Final = "adafactor/4096x4096"

TARGETS: Final = (
    _at_least(
        "A1",
        "Adafactor, matrix of 16.8M: part of the copy bandwidth on 10 bytes per parameter",
        0.85,
        _fraction(_MATRIX, "of copy"),
    ),
    _race(
        "A1, torch",
        "torch.optim.Adafactor, the faster of foreach and for-loop, the same matrix",
        3,
        _speedup(_MATRIX, "torch foreach", "torch for-loop"),
    ),
    _race("A1, transformers", "Adafactor of transformers, the same matrix", 8, _speedup(_MATRIX, "transformers")),
    _race(
        "A1, compiled",
        "our plain rule by torch.compile, which rounds to nearest, the same matrix",
        1.5,
        _speedup(_MATRIX, "compiled reference, nearest"),
    ),
    _race(
        "A1, AdamW",
        "torch's fused AdamW, which moves 14 bytes per parameter, a matrix of this size",
        1,
        _speedup(_MATRIX, "torch fused", of="adamw/4096x4096"),
    ),
    _at_least(
        "A2",
        "Adafactor, the 291 tensors of Llama 2 7B: the same (19 ms on an H200)",
        0.826,
        _fraction("adafactor/llama-2-7b", "of copy"),
    ),
    _at_most(
        "A3",
        "Adafactor: time that stochastic rounding adds to rounding to nearest, as a part",
        0.05,
        _noise_surcharge,
    ),
    _at_most(
        "A4",
        "Adafactor, Llama 2 7B: bytes of state and workspace per byte of weights, as they are asked for",
        0.003,
        _planned_memory,
    ),
    _at_most(
        "A4 on the device",
        "the same: state, and what an update takes at its peak",
        0.003,
        _measured_memory,
    ),
    _at_least(
        "A5",
        "AdamW, fp32 and bf16 state: the lower part of the copy bandwidth on 22 and 14 bytes per parameter",
        0.88,
        _both_adamws,
    ),
    _at_least(
        "C1",
        "loss of Llama 3 8B, 8192 tokens: part of the matrix product rate (38.6 ms on an H200)",
        0.85,
        _fraction(_LLAMA, "of matmul"),
    ),
    _at_most(
        "C1 memory",
        "the same: MiB of either pass beyond the gradients it has to hold, fp32 for the weight while they add up",
        256,
        _working(_LLAMA),
    ),
    _race("C1, liger", "liger, its own chunks, fp32 gradient of the weight", 1.5, _speedup(_LLAMA, "liger")),
    _race(
        "C1, cut-cross-entropy", "cut-cross-entropy, no gradient left out", 1.3, _speedup(_LLAMA, "cut-cross-entropy")
    ),
    _race(
        "C1, torch",
        "torch's own linear_cross_entropy, in chunks of its choice",
        2,
        _speedup(_LLAMA, "torch linear_cross_entropy"),
    ),
    _race("C1, quack", "quack, whose chunk of logits takes 1 GiB", 0.95, _speedup(_LLAMA, "quack")),
    _at_least(
        "C2",
        "loss of Gemma 2 2B, 8192 tokens: part of the matrix product rate (43 ms on an H200)",
        0.85,
        _fraction(_GEMMA, "of matmul"),
    ),
    _at_most(
        "C2 memory",
        "the same: MiB of either pass beyond the gradients it has to hold, fp32 for the weight while they add up",
        512,
        _working(_GEMMA),
    ),
    _race("C2, liger", "liger, its own chunks, fp32 gradient of the weight", 3, _speedup(_GEMMA, "liger")),
    _at_least(
        "C3",
        "loss of Llama 3 8B, 2048 tokens: part of the matrix product rate",
        0.75,
        _fraction(_SMALL, "of matmul"),
    ),
    _at_least(
        "C4",
        "loss of Llama 3 8B in tiny mode: part of the matrix product rate",
        0.60,
        _fraction(_LLAMA, "of matmul", _TINY),
    ),
    _at_most(
        "C4 memory",
        "the same: MiB of either pass beyond the gradients, all in bf16",
        64,
        _working(_LLAMA, _TINY),
    ),
    _at_most(
        "C5",
        "loss: largest absolute error against fp64",
        1e-4,
        _largest_loss_error,
    ),
    _at_most(
        "C5 gradients",
        "loss: largest error of a gradient, in units of that of plain bf16 torch",
        1.25,
        _worst_gradient,
    ),
)
