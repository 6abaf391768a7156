"""The benchmark: every operation in turn with its peers, as fractions of what this machine can do at best."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fg_kernels.errors import KernelError, check_option
from fg_kernels.measuring.calibration import Peaks, calibrate
from fg_kernels.measuring.case import Absent, Case, Work
from fg_kernels.measuring.clock import interleaved_ms
from fg_kernels.measuring.elementwise import elementwise_cases
from fg_kernels.measuring.losses import loss_cases
from fg_kernels.measuring.machine import accelerator, machine
from fg_kernels.measuring.memory import peak_bytes
from fg_kernels.measuring.optimizers import optimizer_cases
from fg_kernels.measuring.targets import judged
from fg_kernels.measuring.traffic import TrafficCounter

_FAMILIES = (optimizer_cases, loss_cases, elementwise_cases)
_PACKAGES = (
    "torch",
    "triton",
    "transformers",
    "liger-kernel",
    "cut-cross-entropy",
    "quack-kernels",
    "torchao",
    "numpy",
)
_MIB = 1 << 20


def _errors_of_triton() -> tuple[type[Exception], ...]:
    if importlib.util.find_spec("triton") is None:
        return ()
    return (importlib.import_module("triton.errors").TritonError,)


# Out of memory, unsupported, code that does not compile. Another version of a peer may also have other arguments,
# names and files.
_FAILURES = (KernelError, NotImplementedError, RuntimeError, *_errors_of_triton())
_FAILURES_OF_PEERS = (
    *_FAILURES,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
    subprocess.SubprocessError,
)

Row = dict[str, Any]
Say = Callable[[str], None]
Run = Callable[[], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is measured, and how often.

    Attributes:
        device: of all tensors.
        rounds: turns of each contender.
        ops: only these operations; all if empty.
        quick: small shapes, to try the machinery.
    """

    device: torch.device
    rounds: int = 50
    ops: tuple[str, ...] = ()
    quick: bool = False

    def cases(self) -> list[Case]:
        """The cases of the operations asked for.

        Raises:
            UnknownOptionError: an operation without a case.
        """
        found = [case for family in _FAMILIES for case in family(self.device, quick=self.quick)]
        for op in self.ops:
            check_option("op", op, {case.op for case in found})
        return [case for case in found if not self.ops or case.op in self.ops]


def bench(plan: Plan, *, command: str, say: Say = lambda line: None) -> dict[str, Any]:
    """Measure everything and return the record.

    Args:
        plan: what to measure.
        command: that was typed, for the record.
        say: told about each case when it begins.
    """
    cases = plan.cases()
    say("measuring what this machine can do at best")
    peaks = calibrate(plan.device)
    rows: list[Row] = []
    for number, case in enumerate(cases, start=1):
        say(f"case {number}/{len(cases)}: {case.name}")
        rows += measured(case, plan, peaks)
    return {
        "what": "operations beside their peers; every contender takes its turn in every round, medians are kept",
        "machine": machine(command, *_PACKAGES) | {"accelerator": accelerator()},
        "device": plan.device.type,
        "rounds": plan.rounds,
        "peaks": peaks._asdict(),
        "results": rows,
        "targets": judged(rows, plan.device),
    }


def measured(case: Case, plan: Plan, peaks: Peaks) -> list[Row]:
    """A row for each contender of a case: its figures, why it is absent, or the error it failed with."""
    works, missing = _ready(case, plan.device)
    runs = {name: work.run for name, work in works.items()}
    timed = _timed_on_gpu if plan.device.type == "cuda" else _timed_on_cpu
    times = timed(case, runs, plan, peaks)
    rows = []
    for name in case.contenders:
        head: Row = {"case": case.name, "op": case.op, "shape": dict(case.shape), "contender": name}
        found = missing[name] if name in missing else times[name] | _costs_or_failure(name, case, works[name], plan)
        rows.append(head | found)
    return rows


def _timed_on_gpu(case: Case, runs: Mapping[str, Run], plan: Plan, peaks: Peaks) -> dict[str, Row]:
    cold, warm = (interleaved_ms(runs, rounds=plan.rounds, device=plan.device, flush=flush) for flush in (True, False))
    return {name: {"ms": cold[name], "ms in L2": warm[name]} | _rates(case, cold[name], peaks) for name in runs}


def _timed_on_cpu(case: Case, runs: Mapping[str, Run], plan: Plan, peaks: Peaks) -> dict[str, Row]:
    """Only times: the rates say nothing of a GPU, and the small shapes of this benchmark stay in the caches."""
    if case.slow_on_cpu:
        return {name: {} for name in runs}
    times = interleaved_ms(runs, rounds=plan.rounds, device=plan.device)
    return {name: {"ms on CPU": ms} for name, ms in times.items()}


def _ready(case: Case, device: torch.device) -> tuple[dict[str, Work], dict[str, Row]]:
    """The contenders that have run once (compiled, state created), and why the others have not."""
    works, missing = dict[str, Work](), dict[str, Row]()
    for name, make in case.contenders.items():
        try:
            work = make(device)
            work.run()
        except Absent as reason:
            missing[name] = {"absent": str(reason)}
        except _failures_of(name) as error:
            missing[name] = _failure(error)
        else:
            works[name] = work
    return works, missing


def _failures_of(contender: str) -> tuple[type[Exception], ...]:
    """The errors that do not end the run."""
    return _FAILURES if contender.startswith("fg_kernels") else _FAILURES_OF_PEERS


def _failure(error: Exception) -> Row:
    return {"failed": str(error).partition("\n")[0] or type(error).__name__}


def _rates(case: Case, ms: float, peaks: Peaks) -> Row:
    """Achieved rates of the bytes or operations that the case needs at the least, and their part of the peaks."""
    rates: Row = {}
    if case.bytes is not None:
        rate = 1e3 * case.bytes / ms
        rates |= {"needed bytes": case.bytes, "TB/s": rate / 1e12, "of copy": rate / peaks.copy}
    if case.flops is not None:
        rate = 1e3 * case.flops / ms
        rates |= {"needed FLOPs": case.flops, "TFLOP/s": rate / 1e12, "of matmul": rate / peaks.matmul}
    return rates


def _costs_or_failure(name: str, case: Case, work: Work, plan: Plan) -> Row:
    try:
        return _costs(case, work, plan.device)
    except _failures_of(name) as error:
        return _failure(error)


def _costs(case: Case, work: Work, device: torch.device) -> Row:
    """Memory, what the facts of the contender are and, where torch carries out everything, the bytes moved."""
    if device.type == "cuda":
        return {"extra peak MiB": peak_bytes(work.run, device) / _MIB} | dict(work.facts())
    counter, times = TrafficCounter(), dict[str, float]()

    def counted() -> None:
        with counter:
            times.update(interleaved_ms({"ms on CPU": work.run}, rounds=1, device=device))

    costs: Row = {"extra peak MiB": peak_bytes(counted) / _MIB} | (times if case.slow_on_cpu else {})
    traffic = counter.traffic
    costs |= {
        "moved bytes per element": traffic.moved / case.elements,
        "operations": traffic.operations,
        "host reads": traffic.host_reads,
    }
    return costs | dict(work.facts())


def grouped(rows: Sequence[Row]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Rows by case, in order."""
    for name in dict.fromkeys(row["case"] for row in rows):
        yield name, [row for row in rows if row["case"] == name]
