"""Optimizers and losses of fg-kernels beside their peers, on the GPU if there is one."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch

from fg_kernels.measuring.bench import Plan, bench
from fg_kernels.measuring.report import report

# One call takes milliseconds there, and clocks of a GPU need time to settle.
_GPU_FACTOR = 10


def run(rounds: int) -> dict[str, Any]:
    """The record of `forgather kernels bench`."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler, which counts memory, tells of every start and stop
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    plan = Plan(device=device, rounds=rounds * _GPU_FACTOR if on_gpu else rounds)
    record = bench(plan, command=" ".join(["hatch run bench", *sys.argv[1:]]), say=print)
    print(report(record))
    return record
