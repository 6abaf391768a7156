"""Launching kernels: block sizes from a table, by architecture and size, instead of tuning while the user waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from fg_kernels.triton.config_table import Row, rows_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Compile-time block sizes of a kernel and the shape of its programs."""

    blocks: Mapping[str, int]
    num_warps: int = 4
    num_stages: int = 1

    @property
    def options(self) -> dict[str, Any]:
        """Of the compiler: `a * b + c` is rounded twice, as in torch."""
        return {"num_warps": self.num_warps, "num_stages": self.num_stages, "enable_fp_fusion": False}


def config_for(kernel: str, tensor: Tensor, size: int | None = None) -> Config:
    """Return the row of `configs.json` by which `kernel` runs on `tensor`.

    Rows of its architecture come before those for any ("*"); of these the first whose `up_to` is not below `size`
    (by default the number of elements) is taken. The interpreter, which pays for every program, has rows of large
    blocks.
    """
    wanted = tensor.numel() if size is None else size
    rows = rows_of(kernel, str(_capability(tensor.device)) if tensor.is_cuda else "interpret")
    return config_of(next(row for row in rows if wanted <= row.get("up_to", wanted)))


def configs_of(kernel: str, arch: int) -> list[Config]:
    """All rows by which `kernel` may run on an architecture."""
    return [config_of(row) for row in rows_of(kernel, str(arch))]


def launch_on(
    tensor: Tensor, kernel: Any, grid: Sequence[int], *arguments: Any, config: Config, **constants: Any
) -> None:
    """Run `kernel` on the device of `tensor`; an empty grid runs nothing."""
    if 0 in grid:
        return
    with torch.cuda.device_of(tensor):
        kernel[tuple(grid)](*arguments, **config.blocks, **constants, **config.options)


def config_of(row: Row) -> Config:
    """A row of the table."""
    blocks = {name: value for name, value in row.items() if name.isupper()}
    return Config(blocks=blocks, num_warps=row.get("num_warps", 4), num_stages=row.get("num_stages", 1))


@lru_cache(maxsize=64)
def _capability(device: torch.device) -> int:
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor
