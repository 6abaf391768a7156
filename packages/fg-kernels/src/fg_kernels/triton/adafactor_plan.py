"""What the launches of Adafactor pass through memory: one table row for each tensor, one workspace for all.

A matrix is cut into chunks of `columns` columns and bands of `BAND_CELLS` cells of `cell` rows. The workspace holds for
each chunk, a number for every row, for each band, a number for every column, and two numbers for each cell of each
chunk: of 2048 columns and 2048 rows that makes 0.2 % of the bytes of a bf16 parameter, beside 0.1 % of state.

A whole model has a thousand bands, a matrix that is updated alone has a few, too few for a GPU with a hundred
multiprocessors. Of such a call a program takes a part of a band only. The column sums of every cell then wait in the
workspace for a further launch, which adds them up in the order in which one program for the band does: the bits are the
same. With cells of 32 rows that takes a sixteenth of the bytes of a bf16 parameter until the update is done: 2 MiB for
a matrix of 4096 x 4096, and 64 MiB at the most, as larger calls have bands enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import torch
from torch import Tensor

from fg_kernels.philox import key_words
from fg_kernels.triton.multi_tensor import DeviceTable

BAND_CELLS: Final = 64
MAX_COLUMNS: Final = 1 << 18
MAX_VECTOR: Final = 1 << 20
FEW_PROGRAMS: Final = 128
"""Fewer bands are divided. Not a number of the device, so that all devices sum alike what is measured on one."""
ENOUGH_PROGRAMS: Final = 256
"""They are divided into so many parts, as far as there are cells: about two for each multiprocessor of a large GPU."""


class Blocks(NamedTuple):
    """How matrices are cut: chunks of `columns`, cells of `cell` rows, programs for `span` rows."""

    columns: int
    cell: int
    span: int

    @property
    def band(self) -> int:
        """Rows of a band."""
        return self.cell * BAND_CELLS

    @property
    def divided(self) -> bool:
        """Whether several programs share a band."""
        return self.span < self.band


class Shape(NamedTuple):
    """Of a matrix, the leading dimensions being folded into rows; a vector has no rows, nothing no columns either."""

    rows: int
    columns: int

    def tiles(self, columns: int, rows: int) -> int:
        """How many tiles of this size cover the matrix."""
        return math.ceil(self.columns / columns) * math.ceil(self.rows / rows)

    def floats(self, blocks: Blocks) -> tuple[int, int, int, int, int]:
        """How many row shares, column shares, totals, norms and column sums of cells there are in the workspace."""
        chunks, cells = math.ceil(self.columns / blocks.columns), math.ceil(self.rows / blocks.cell)
        column_shares = self.columns * math.ceil(self.rows / blocks.band)
        return self.rows * chunks, column_shares, cells * chunks, cells * chunks, cells * self.columns * blocks.divided


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """One tensor to update; all are contiguous.

    Attributes:
        parameter: of any shape.
        gradient: of the same shape.
        state: fp32, the average of each row, or of each element of a vector.
        column_state: fp32, the average of each column; None for a vector.
        name: key of the rounding noise.
        seed: of the rounding noise.
        eps: added to squared gradients.
        clip_threshold: of the root mean square of the update.
    """

    parameter: Tensor
    gradient: Tensor
    state: Tensor
    column_state: Tensor | None
    name: str
    seed: int
    eps: float
    clip_threshold: float

    @property
    def shape(self) -> Shape:
        """As the kernels see it."""
        return shape_of(self.parameter.shape)

    def constants(self) -> tuple[float, ...]:
        """The row of numbers that do not change from update to update."""
        rows, columns = self.shape
        root = math.sqrt(max(1, self.parameter.numel()))
        return self.eps, 1 / self.clip_threshold, 1 / max(1, rows), 1 / max(1, columns), 1 / root

    def fields(self, offsets: Sequence[int], cells: int) -> tuple[int, ...]:
        """The row of addresses, sizes and offsets in the workspace."""
        tensors = (self.parameter, self.gradient, self.state)
        column_address = 0 if self.column_state is None else self.column_state.data_ptr()
        addresses = (*(tensor.data_ptr() for tensor in tensors), column_address)
        return *addresses, *self.shape, *offsets, *key_words(self.seed, self.name), cells


@dataclass(slots=True)
class Tables:
    """What stays on the device from update to update, for one set of tensors."""

    fields: DeviceTable = field(default_factory=lambda: DeviceTable(torch.int64))
    constants: DeviceTable = field(default_factory=lambda: DeviceTable(torch.float32))
    rates: DeviceTable = field(default_factory=lambda: DeviceTable(torch.float32))
    counts: DeviceTable = field(default_factory=lambda: DeviceTable(torch.int64))


def shape_of(shape: Sequence[int]) -> Shape:
    """Rows and columns of a tensor of this shape; a single number is a vector."""
    count = math.prod(shape)
    return Shape(count // shape[-1], shape[-1]) if count and len(shape) > 1 else Shape(0, count)


def blocks_for(sizes: Mapping[str, int], shapes: Sequence[Shape], *, few: int, enough: int) -> Blocks:
    """How matrices of these shapes are cut: bands are divided if there are less than `few`, to give `enough` programs.

    Args:
        sizes: COLUMNS and CELL.
        shapes: of all tensors of a call.
        few: number of bands, see `FEW_PROGRAMS`.
        enough: number of programs, see `ENOUGH_PROGRAMS`.
    """
    columns, cell = sizes["COLUMNS"], sizes["CELL"]
    span = cell * BAND_CELLS
    if _programs(shapes, columns, span) < few:
        while span > cell and _programs(shapes, columns, span) < enough:
            span //= 2
    return Blocks(columns, cell, span)


def _programs(shapes: Sequence[Shape], columns: int, rows: int) -> int:
    return sum(shape.tiles(columns, rows) for shape in shapes)


def fields_of(works: Sequence[Work], blocks: Blocks) -> list[tuple[int, ...]]:
    """The rows of the table of addresses, with each tensor's place in the workspace."""
    rows, end = [], 0
    for work in works:
        sizes = work.shape.floats(blocks)
        offsets = [end + sum(sizes[:index]) for index in range(len(sizes))]
        rows.append(work.fields(offsets, cells=sizes[2]))
        end += sum(sizes)
    return rows


def workspace_floats(shapes: Sequence[Shape], blocks: Blocks) -> int:
    """Size of the workspace for tensors of these shapes."""
    return sum(sum(shape.floats(blocks)) for shape in shapes)
