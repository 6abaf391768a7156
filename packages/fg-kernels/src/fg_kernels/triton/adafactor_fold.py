"""The launch of Adafactor that adds up the column sums of bands of rows which several programs share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import triton
import triton.language as tl
from torch import Tensor

from fg_kernels.triton.adafactor_parts import (
    CELL_SUMS,
    CONSTANTS,
    EPS,
    FIELDS,
    KEEP,
    RATES,
    WEIGHT,
    shape_at,
    store_column_shares,
)
from fg_kernels.triton.adafactor_plan import BAND_CELLS, Blocks, Shape
from fg_kernels.triton.cases import CompileCase
from fg_kernels.triton.launch import config_for, configs_of, launch_on
from fg_kernels.triton.multi_tensor import tile_map


@triton.jit
def adafactor_fold(
    programs,
    table,
    constants,
    rates,
    work,
    CELL: tl.constexpr,
    CELLS_OF_BAND: tl.constexpr,
    BLOCK: tl.constexpr,
    AHEAD: tl.constexpr,
):
    """Leave the shares of `BLOCK` column averages of a divided band, added cell by cell as an undivided one's are.

    `AHEAD` cells are loaded before the first of them is added.
    """
    tensor, tile = tl.load(programs + 2 * tl.program_id(0)), tl.load(programs + 2 * tl.program_id(0) + 1)
    entry, constant, rate = table + tensor * FIELDS, constants + tensor * CONSTANTS, rates + tensor * RATES
    rows, columns = shape_at(entry, False)
    parts = tl.cdiv(columns, BLOCK)
    band = tile // parts
    column = tile % parts * BLOCK + tl.arange(0, BLOCK)
    inside = column < columns
    first = band * CELLS_OF_BAND
    cells = tl.minimum(CELLS_OF_BAND, tl.cdiv(rows, CELL) - first)
    cell_sums = work + tl.load(entry + CELL_SUMS) + first.to(tl.int64) * columns + column
    by_column = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, cells, AHEAD):
        for k in tl.static_range(AHEAD):
            by_column += tl.load(cell_sums + k * columns, mask=inside & (start + k < cells), other=0.0)
        cell_sums += AHEAD * columns
    eps, weight, keep = tl.load(constant + EPS), tl.load(rate + WEIGHT), tl.load(rate + KEEP)
    store_column_shares(by_column, entry, constant, work, band, columns, column, inside, eps, weight, keep)


def fold(shapes: Sequence[Shape], blocks: Blocks, like: Tensor, *tables: Tensor) -> None:
    """Launch `adafactor_fold` for all bands."""
    config = config_for("adafactor_fold", like)
    tiles = tuple(shape.tiles(config.blocks["BLOCK"], blocks.band) for shape in shapes)
    programs = tile_map(tiles, like.device)
    sizes = {"CELL": blocks.cell, "CELLS_OF_BAND": BAND_CELLS}
    launch_on(like, adafactor_fold, (programs.shape[0],), programs, *tables, config=config, **sizes)


def compile_cases(arch: int) -> Iterator[CompileCase]:
    """See `fg_kernels.triton.cases`: programs for a whole band."""
    signature = {"programs": "*i32", "table": "*i64", "constants": "*fp32", "rates": "*fp32", "work": "*fp32"}
    cell = configs_of("adafactor", arch)[0].blocks["CELL"]
    for config in configs_of("adafactor_fold", arch):
        yield CompileCase(
            name="adafactor_fold",
            kernel=adafactor_fold,
            signature=signature,
            constants={"CELL": cell, "CELLS_OF_BAND": BAND_CELLS},
            config=config,
            elements=BAND_CELLS * cell * config.blocks["BLOCK"],
            trips=(BAND_CELLS // config.blocks["AHEAD"],),
            divisible=frozenset(signature),
        )
