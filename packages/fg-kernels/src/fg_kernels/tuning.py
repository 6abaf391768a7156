"""Finding the best block sizes for the GPU at hand, once, instead of while somebody waits: `forgather kernels tune`.

Every candidate of `triton/configs.json` is timed at several sizes, in turns, with operands out of memory. The winners
are written to the user's table (FG_KERNELS_CONFIGS, or kernels.json in the configuration folder), which stands above
the shipped one for this architecture. Block sizes decide in what order sums are added up: kernels with sums may round
differently from before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import torch

from fg_kernels import functional
from fg_kernels.errors import BackendError, UnusableTableError, check_option
from fg_kernels.measuring.clock import Work, interleaved_ms
from fg_kernels.measuring.files import check_writable
from fg_kernels.triton.config_table import ANY, Row, Table, candidates_of, merged, read, shipped, trying, user_file

ROUNDS: Final = 30
GAIN: Final = 0.02
"""A candidate must save this part of the time; less is within the noise of the clock."""


class Problem(NamedTuple):
    """What a kernel is timed on.

    Attributes:
        sizes: numbers of elements, ascending; the last stands for everything larger.
        make: operands of one size on a device, as a function without arguments that runs the kernel.
    """

    sizes: tuple[int, ...]
    make: Callable[[int, torch.device], Work]


def _sr_copy(size: int, device: torch.device) -> Work:
    source = torch.randn(size, device=device)
    target = torch.empty(size, dtype=torch.bfloat16, device=device)
    return partial(functional.sr_copy_, target, source, seed=0, name="tuned", step=0)


def _gated(size: int, device: torch.device) -> Work:
    gate, up = (torch.randn(size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return partial(functional.swiglu, gate, up)


def _quantize(size: int, device: torch.device) -> Work:
    return partial(functional.quantize_blockwise, torch.randn(size, device=device, dtype=torch.bfloat16))


def _optimizer(kind: str, size: int, device: torch.device) -> Work:
    import fg_kernels

    weight = torch.nn.Parameter(torch.randn(size // 4096, 4096, device=device, dtype=torch.bfloat16))
    weight.grad = torch.randn_like(weight)
    return getattr(fg_kernels, kind)([("tuned", weight)], lr=1e-6, fused=True).step


PROBLEMS: Final[Mapping[str, Problem]] = {
    "adafactor": Problem((1 << 22, 1 << 26), partial(_optimizer, "Adafactor")),
    "adafactor_apply": Problem((1 << 22, 1 << 26), partial(_optimizer, "Adafactor")),
    "adamw": Problem((1 << 22, 1 << 26), partial(_optimizer, "AdamW")),
    "gated": Problem((1 << 20, 1 << 26), _gated),
    "quantize_blockwise": Problem((1 << 20, 1 << 26), _quantize),
    "sgd": Problem((1 << 22, 1 << 26), partial(_optimizer, "SGD")),
    "sr_copy": Problem((1 << 20, 1 << 26), _sr_copy),
}


def tune(
    kernels: Iterable[str] = (), *, path: Path | None = None, progress: Callable[[str], None] | None = None
) -> dict[str, list[Row]]:
    """Time the candidates of `kernels` (all by default) on the current CUDA device and store the winners.

    Args:
        kernels: names of the table of block sizes.
        path: of the user's table; by default where kernels will look for it.
        progress: called with a line of text after each size of each kernel.

    Returns:
        The rows that were written, by kernel.

    Raises:
        UnknownOptionError: a kernel that does not exist or has no candidates.
        BackendError: there is no CUDA device.
        UnusableTableError: the user's table cannot be read, or FG_KERNELS_CONFIGS says that there is none.
        UnwritableFileError: the table cannot be written; that is found out before anything is timed.
    """
    names = sorted(set(kernels)) or tunable()
    for name in names:
        check_option("kernel", name, tunable())
    target = path or user_file()
    if target is None:
        raise UnusableTableError("FG_KERNELS_CONFIGS is empty, which stands for no table of your own; name a file")
    if not torch.cuda.is_available():
        raise BackendError("tuning times kernels on a CUDA device, and torch finds none here")
    found = read(target)
    check_writable(target)
    device = torch.device("cuda", torch.cuda.current_device())
    winners = {name: _tuned(name, device, progress or _quiet) for name in names}
    store(target, found, winners, _arch(device))
    return winners


def tunable() -> list[str]:
    """The kernels that have candidates."""
    return sorted(kernel for kernel in PROBLEMS if kernel in shipped() and candidates_of(kernel))


def choose(times: Sequence[tuple[Row, float]]) -> Row:
    """The fastest of (row, ms); the first one, which is in use today, unless another saves more than `GAIN`."""
    first, today = times[0]
    best, least = min(times, key=lambda timed: timed[1])
    return best if least < today * (1 - GAIN) else first


def rows_for(sizes: Sequence[int], winners: Sequence[Row]) -> list[Row]:
    """A row of the table for each size, each up to its size and the last for all; equal neighbours become one."""
    rows: list[Row] = []
    for size, winner in zip(sizes, winners, strict=True):
        blocks = {name: value for name, value in winner.items() if name != "up_to"}
        if rows and {name: value for name, value in rows[-1].items() if name != "up_to"} == blocks:
            rows.pop()
        rows.append({"up_to": size, **blocks})
    return [*rows[:-1], {name: value for name, value in rows[-1].items() if name != "up_to"}]


def store(path: Path, found: Table, winners: Mapping[str, list[Row]], arch: str) -> None:
    """Add the rows of one architecture to a user's table; whatever else it holds stays."""
    table = {kernel: dict(by_arch) for kernel, by_arch in found.items()}
    for kernel, rows in winners.items():
        table.setdefault(kernel, {})[arch] = rows
    merged(shipped(), table, path)  # refuses what could not be read back
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n", "utf-8")
    temporary.replace(path)


def _tuned(kernel: str, device: torch.device, progress: Callable[[str], None]) -> list[Row]:
    problem, winners = PROBLEMS[kernel], list[Row]()
    rows = [shipped()[kernel][ANY][-1], *candidates_of(kernel)]
    for size in problem.sizes:
        times = _times(kernel, rows, problem.make(size, device), device)
        winners.append(choose(times))
        progress(f"{kernel}, {size} elements: {dict(winners[-1])}, {min(ms for _, ms in times):.4g} ms")
    return rows_for(problem.sizes, winners)


def _times(kernel: str, rows: Sequence[Row], work: Work, device: torch.device) -> list[tuple[Row, float]]:
    contenders = {str(number): partial(_with_row, kernel, row, work) for number, row in enumerate(rows)}
    for compiled in contenders.values():
        compiled()
    times = interleaved_ms(contenders, rounds=ROUNDS, device=device, flush=True)
    return [(row, times[str(number)]) for number, row in enumerate(rows)]


def _with_row(kernel: str, row: Row, work: Work) -> None:
    with trying({kernel: row}):
        work()


def _arch(device: torch.device) -> str:
    major, minor = torch.cuda.get_device_capability(device)
    return str(10 * major + minor)


def _quiet(line: str) -> None:
    """Progress that nobody asked for."""
