"""Limits of compiled kernels: some hold for every kernel, the others stand in a table that can only improve."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from fg_kernels.compiling.code import Compiled
from fg_kernels.errors import CompiledCodeError
from fg_kernels.triton.cases import CompileCase

KIBIBYTE: Final = 1024
SHARED_KIBIBYTES: Final = {80: 163, 86: 99, 89: 99, 90: 227, 100: 227, 120: 99}
"""Shared memory that one program may have, by compute capability (CUDA programming guide, compute capabilities)."""
NARROW_SHARE: Final = 0.05
"""Part of the traffic that may be moved in pieces below 4 bytes for each thread: edges, single numbers."""


class Limit(NamedTuple):
    """The most that one case may need on one architecture."""

    registers: int
    instructions: float
    bytes: float


Rows: TypeAlias = dict[tuple[str, int], Limit]


class Limits(NamedTuple):
    """The table: the version of triton that it holds for, and a limit for each (case, architecture)."""

    triton: str
    rows: Rows


def table_path() -> Path:
    """The file, beside this module."""
    return Path(str(files("fg_kernels.compiling").joinpath("limits.json")))


def read_limits(path: Path) -> Limits:
    """Read the table."""
    content = json.loads(path.read_text("utf-8"))
    rows = {
        (key, int(arch)): Limit(**limit) for key, by_arch in content["cases"].items() for arch, limit in by_arch.items()
    }
    return Limits(content["triton"], rows)


def write_limits(path: Path, limits: Limits) -> None:
    """Write the table, one line for each case and architecture."""
    blocks = []
    for key in sorted({key for key, _ in limits.rows}):
        archs = sorted(arch for name, arch in limits.rows if name == key)
        lines = [f'      "{arch}": {json.dumps(limits.rows[key, arch]._asdict())}' for arch in archs]
        blocks.append(f"    {json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n    }")
    cases = ",\n".join(blocks)
    path.write_text(f'{{\n  "triton": "{limits.triton}",\n  "cases": {{\n{cases}\n  }}\n}}\n', "utf-8")


def limit_of(compiled: Compiled) -> Limit:
    """The figures of `compiled` as a limit; rounded up, so that they keep it."""
    return Limit(compiled.registers, _up(compiled.instructions, 2), _up(compiled.bytes, 4))


def broken_rules(case: CompileCase, arch: int, compiled: Compiled) -> Iterator[str]:
    """What no kernel may do, whatever the table says."""
    if compiled.spilled:
        yield f"{compiled.spilled} bytes of each thread are spilled to memory; smaller blocks or more warps avoid it"
    if compiled.shared > (most := SHARED_KIBIBYTES[arch] * KIBIBYTE):
        yield f"{compiled.shared} bytes of shared memory, sm_{arch} has {most}"
    if case.exact and compiled.fused:
        yield f"{compiled.fused} multiplications and additions share a rounding, so results differ from the reference"
    if case.wide and compiled.narrow > NARROW_SHARE * compiled.bytes:
        yield (
            f"{compiled.narrow:.4g} of {compiled.bytes:.4g} bytes per element are moved one or two bytes at a time; "
            "declare arguments divisible by 16, or load addresses with tl.multiple_of"
        )


def worse(compiled: Compiled, limit: Limit) -> Iterator[str]:
    """The figures that exceed their limit."""
    for name, now, most in zip(Limit._fields, limit_of(compiled), limit, strict=True):
        if now > most:
            yield f"{name}: {now}, at most {most}"


def findings(surveyed: Mapping[tuple[str, int], Compiled], limits: Limits) -> list[str]:
    """Everything in which compiled cases and table disagree."""
    found = list[str]()
    for (key, arch), compiled in sorted(surveyed.items()):
        limit = limits.rows.get((key, arch))
        complaints = ["has no row in the table of limits"] if limit is None else worse(compiled, limit)
        found += [f"{key} sm_{arch}: {complaint}" for complaint in complaints]
    for key, arch in sorted(limits.rows.keys() - surveyed.keys()):
        found.append(f"{key} sm_{arch}: the table of limits has a row, but there is no such case")
    return found


def improved(surveyed: Mapping[tuple[str, int], Compiled], limits: Limits, version: str) -> Limits:
    """The table with rows for new cases, without those of cases that are gone, and never a higher number.

    Raises:
        CompiledCodeError: a figure got worse, or was compiled by another version of triton than the table's.
    """
    if limits.rows and version != limits.triton:
        raise CompiledCodeError(f"the limits hold for triton {limits.triton}, these figures come from {version}")
    rows: Rows = {}
    complaints = list[str]()
    for (key, arch), compiled in sorted(surveyed.items()):
        before, now = limits.rows.get((key, arch)), limit_of(compiled)
        complaints += [f"{key} sm_{arch}: {complaint}" for complaint in worse(compiled, before or now)]
        rows[key, arch] = now if before is None else Limit(*map(min, before, now))
    if complaints:
        raise CompiledCodeError("limits are only lowered; raising one is an edit by hand: " + "; ".join(complaints))
    return Limits(version, rows)


def _up(value: float, digits: int) -> float:
    scale = 10**digits
    return math.ceil(round(value * scale, 6)) / scale
