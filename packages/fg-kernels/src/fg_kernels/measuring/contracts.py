"""What every operation promises, tried on this machine on each backend that can run here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from fg_kernels import dispatch
from fg_kernels.errors import BackendError, check_option
from fg_kernels.measuring.promises import PROMISES, Finding, Place
from fg_kernels.measuring.table import number, text_table


def places() -> list[Place]:
    """Reference and Triton on every device of this machine where they run."""
    devices = [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
    wanted = [("reference", device) for device in devices]
    wanted += [("interpret", devices[0]), ("triton", devices[-1])]
    return [Place(backend=backend, device=device) for backend, device in wanted if _runs(backend, device)]


def check(ops: Sequence[str] = (), *, say: Callable[[str], None] = lambda line: None) -> list[Finding]:
    """Try the promises of `ops`, of all operations by default.

    Args:
        ops: names; see `PROMISES`.
        say: told what is tried next.

    Raises:
        UnknownOptionError: an operation without promises.
    """
    for op in ops:
        check_option("op", op, PROMISES)
    return [finding for op in ops or PROMISES for finding in _tried(op, say)]


def finding_table(findings: Sequence[Finding]) -> str:
    """A line for each finding, and a summary."""
    header = ("operation", "backend", "value", "limit", "ok", "promise")
    rows = [
        (item.op, str(item.place), number(item.value), number(item.limit), "yes" if item.kept else "NO", item.promise)
        for item in findings
    ]
    broken = sum(not finding.kept for finding in findings)
    return f"{text_table(header, rows)}\n{len(findings) - broken} of {len(findings)} promises kept"


def as_mapping(finding: Finding) -> Mapping[str, Any]:
    """A finding of plain values, for JSON."""
    return asdict(finding) | {"place": str(finding.place), "kept": finding.kept}


def _tried(op: str, say: Callable[[str], None]) -> Iterator[Finding]:
    for place in places():
        say(f"{op} by {place}")
        yield from PROMISES[op](op, place)


def _runs(backend: str, device: torch.device) -> bool:
    probe = torch.zeros(8, dtype=torch.bfloat16, device=device)
    try:
        return dispatch.which("sr_copy_", probe, backend=backend).backend == backend
    except BackendError:
        return False
