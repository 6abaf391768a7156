"""Adafactor for a whole model in three launches: sums of squares, norms of the updates, the updates themselves.

A program owns some rows and one chunk of columns of one tensor and walks down the rows. What programs have to tell each
other goes through a workspace, laid out by `adafactor_plan`:

    sums     reads g; leaves row and column sums of its squares, as shares of the new averages: the first chunk (for
             columns the first band) adds the decayed old average, so that nobody needs it later
    fold     only where programs share a band of rows, as for a single matrix: adds up the column sums of the band
    norms    reads g; adds the shares up, writes the new state, leaves the sum of squares of its updates
    apply    reads g and p; scales the update down to the clipping threshold, decays, updates, rounds once, writes p

10 bytes per bf16 parameter, as the norm of the update cannot be had from the sums alone. A vector has no factors: one
program of the last launch does all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
import triton
import triton.language as tl
from torch import Tensor

from fg_kernels.philox import ELEMENTS_PER_BLOCK
from fg_kernels.triton.adafactor_fold import fold
from fg_kernels.triton.adafactor_parts import (
    CELL_SUMS,
    CELLS,
    COLUMN_SHARES,
    COLUMN_STATE,
    CONSTANTS,
    EPS,
    FIELDS,
    FIRST_STATE,
    GRADIENT,
    INVERSE_CLIP,
    INVERSE_COLUMNS,
    INVERSE_ROWS,
    KEEP,
    NAME_HIGH,
    NAME_LOW,
    NORMS,
    PARAMETER,
    RATES,
    ROW_SHARES,
    SEED,
    TOTALS,
    WEIGHT,
    apply_matrix,
    apply_vector,
    load_fp32,
    pointer_to,
    shape_at,
    share_of,
    store_column_shares,
    sum_of,
    sum_of_rows,
)
from fg_kernels.triton.adafactor_plan import (
    BAND_CELLS,
    ENOUGH_PROGRAMS,
    FEW_PROGRAMS,
    Tables,
    Work,
    blocks_for,
    fields_of,
    workspace_floats,
)
from fg_kernels.triton.cases import CompileCase
from fg_kernels.triton.launch import config_for, configs_of, launch_on
from fg_kernels.triton.multi_tensor import tile_map


@triton.jit
def adafactor_sums(
    programs,
    table,
    constants,
    rates,
    work,
    span,
    ALIGNED: tl.constexpr,
    NARROW_GRADIENT: tl.constexpr,
    DIVIDED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CELL: tl.constexpr,
):
    """Leave the shares of the row and column averages, and for each cell of rows its part of their total.

    Of `DIVIDED` bands the column sums of each cell are left instead, for `adafactor_fold`.
    """
    tensor, tile = tl.load(programs + 2 * tl.program_id(0)), tl.load(programs + 2 * tl.program_id(0) + 1)
    entry, constant, rate = table + tensor * FIELDS, constants + tensor * CONSTANTS, rates + tensor * RATES
    rows, columns = shape_at(entry, ALIGNED)
    chunks = tl.cdiv(columns, COLUMNS)
    chunk, band = tile % chunks, tile // chunks
    eps, weight, keep = tl.load(constant + EPS), tl.load(rate + WEIGHT), tl.load(rate + KEEP)
    inverse_columns = tl.load(constant + INVERSE_COLUMNS)
    row_state = pointer_to(entry, FIRST_STATE, False, False)
    row_shares = work + tl.load(entry + ROW_SHARES) + chunk.to(tl.int64) * rows
    totals = work + tl.load(entry + TOTALS)

    first, lane = band * span, tl.arange(0, ROWS)
    column = chunk * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < columns
    cell_sums = work + tl.load(entry + CELL_SUMS) + column
    gradient = pointer_to(entry, GRADIENT, NARROW_GRADIENT, ALIGNED) + first.to(tl.int64) * columns
    place = lane[:, None] * columns + column[None, :]
    by_column = tl.zeros((COLUMNS,), tl.float32)
    for cell in range(first // CELL, tl.cdiv(tl.minimum(first + span, rows), CELL)):
        squares = tl.zeros((ROWS, COLUMNS), tl.float32)
        total = tl.zeros((ROWS,), tl.float32)
        for i in range(tl.cdiv(tl.minimum(CELL, rows - cell * CELL), ROWS)):
            row = cell * CELL + i * ROWS + lane
            here = row < rows
            value = load_fp32(gradient + place, here[:, None] & inside[None, :], NARROW_GRADIENT)
            squares += value * value
            old = tl.load(row_state + row, mask=here & (chunk == 0), other=0.0)
            share = share_of(tl.sum(value * value, axis=1), old, inverse_columns, eps, weight, keep, chunk == 0)
            tl.store(row_shares + row, share, mask=here)
            total += tl.where(here, share, 0.0)
            gradient += ROWS * columns
        tl.store(totals + cell * chunks + chunk, tl.sum(total))
        if DIVIDED:
            tl.store(cell_sums + cell * columns.to(tl.int64), tl.sum(squares, axis=0), mask=inside)
        else:
            by_column += tl.sum(squares, axis=0)

    if not DIVIDED:
        store_column_shares(by_column, entry, constant, work, band, columns, column, inside, eps, weight, keep)


@triton.jit
def adafactor_norms(
    programs,
    table,
    constants,
    work,
    span,
    band_rows,
    ALIGNED: tl.constexpr,
    NARROW_GRADIENT: tl.constexpr,
    CHUNKS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CELL: tl.constexpr,
):
    """Write the new averages, and leave the sum of squares of the updates of each cell of rows."""
    # Backwards: what the launch before read last is still in the cache.
    program = tl.num_programs(0) - 1 - tl.program_id(0)
    tensor, tile = tl.load(programs + 2 * program), tl.load(programs + 2 * program + 1)
    entry, constant = table + tensor * FIELDS, constants + tensor * CONSTANTS
    rows, columns = shape_at(entry, ALIGNED)
    chunks = tl.cdiv(columns, COLUMNS)
    chunk, part = tile % chunks, tile // chunks
    row_state = pointer_to(entry, FIRST_STATE, False, False)
    row_shares = work + tl.load(entry + ROW_SHARES)
    norms = work + tl.load(entry + NORMS)
    first, lane = part * span, tl.arange(0, ROWS)
    column = chunk * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < columns

    column_shares = work + tl.load(entry + COLUMN_SHARES)
    average = sum_of_rows(column_shares, tl.cdiv(rows, band_rows), columns, column, inside, COLUMNS)
    tl.store(pointer_to(entry, COLUMN_STATE, False, False) + column, average, mask=inside & (part == 0))
    column_scale = tl.div_rn(1.0, tl.sqrt_rn(tl.where(inside, average, 1.0)))
    total = sum_of(work + tl.load(entry + TOTALS), tl.load(entry + CELLS).to(tl.int32), 512)
    root = tl.sqrt_rn(total * tl.load(constant + INVERSE_ROWS))

    gradient = pointer_to(entry, GRADIENT, NARROW_GRADIENT, ALIGNED) + first.to(tl.int64) * columns
    place = lane[:, None] * columns + column[None, :]
    # Without a threshold nobody asks for the norm.
    wanted = column < tl.where(tl.load(constant + INVERSE_CLIP) > 0.0, columns, 0)
    for cell in range(tl.cdiv(tl.minimum(span, rows - first), CELL)):
        # For the whole cell at once: a thread has one root and one quotient to compute.
        row = first + cell * CELL + tl.arange(0, CELL)
        row_average = tl.zeros((CELL,), tl.float32)
        for k in tl.static_range(CHUNKS):
            row_average += tl.load(row_shares + k * rows + row, mask=(row < rows) & (k < chunks), other=0.0)
        tl.store(row_state + row, row_average, mask=(row < rows) & (chunk == 0))
        row_scales = tl.div_rn(root, tl.sqrt_rn(tl.where(row < rows, row_average, 1.0)))
        squares = tl.zeros((ROWS, COLUMNS), tl.float32)
        for i in range(tl.cdiv(tl.minimum(CELL, rows - first - cell * CELL), ROWS)):
            here = first + cell * CELL + i * ROWS + lane < rows
            value = load_fp32(gradient + place, here[:, None] & wanted[None, :], NARROW_GRADIENT)
            row_scale = tl.gather(row_scales, i * ROWS + lane, axis=0)
            update = row_scale[:, None] * column_scale[None, :] * value
            squares += update * update
            gradient += ROWS * columns
        tl.store(norms + (first // CELL + cell) * chunks + chunk, tl.sum(tl.sum(squares, axis=0)))


@triton.jit
def adafactor_apply(
    programs,
    table,
    constants,
    rates,
    counts,
    work,
    ALIGNED: tl.constexpr,
    NARROW_GRADIENT: tl.constexpr,
    NARROW_PARAMETER: tl.constexpr,
    STOCHASTIC: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SPAN: tl.constexpr,
):
    """Decay and update the parameters; `counts` are the numbers of the updates."""
    tensor, tile = tl.load(programs + 2 * tl.program_id(0)), tl.load(programs + 2 * tl.program_id(0) + 1)
    entry, constant, rate = table + tensor * FIELDS, constants + tensor * CONSTANTS, rates + tensor * RATES
    rows, columns = shape_at(entry, ALIGNED)
    gradient = pointer_to(entry, GRADIENT, NARROW_GRADIENT, ALIGNED)
    parameter = pointer_to(entry, PARAMETER, NARROW_PARAMETER, ALIGNED)
    state, column_state = pointer_to(entry, FIRST_STATE, False, False), pointer_to(entry, COLUMN_STATE, False, False)
    low, high = tl.load(entry + NAME_LOW).to(tl.int32), tl.load(entry + NAME_HIGH).to(tl.int32)
    seed, step, cells = tl.load(entry + SEED), tl.load(counts + tensor), tl.load(entry + CELLS).to(tl.int32)
    totals, norms = work + tl.load(entry + TOTALS), work + tl.load(entry + NORMS)
    if cells > 0:
        apply_matrix(
            gradient, parameter, state, column_state, constant, rate, step, low, high, seed,
            rows, columns, cells, totals, norms, tile,
            ALIGNED, NARROW_GRADIENT, NARROW_PARAMETER, STOCHASTIC, ROWS, COLUMNS, SPAN,
        )  # fmt: skip
    else:  # no factors: a vector
        apply_vector(
            gradient, parameter, state, constant, rate, step, low, high, seed, columns,
            ALIGNED, NARROW_GRADIENT, NARROW_PARAMETER, STOCHASTIC, COLUMNS,
        )  # fmt: skip


def adafactor_(
    works: Sequence[Work],
    rates: Tensor,
    counts: Tensor,
    *,
    stochastic: bool,
    tables: Tables,
    few: int = FEW_PROGRAMS,
    enough: int = ENOUGH_PROGRAMS,
) -> None:
    """Update tensors that agree in their dtypes, in device and in being `aligned`.

    The workspace, 0.2 % of the bytes of a bf16 parameter, and 6 % more in calls of less than `few` bands of rows, is
    free again as soon as the launches are done.

    Args:
        works: the tensors.
        rates: fp32 (works, 4): weight of the new squares, of the old average, step size, factor of the parameter.
        counts: int64 (works,): the number of each update, key of the rounding noise.
        stochastic: round bf16 parameters stochastically, else to nearest.
        tables: kept for the same works from update to update.
        few: divide bands if there are fewer; the bits are the same.
        enough: so many programs are wanted of divided bands.
    """
    like, even, shapes = works[0].parameter, aligned(works[0]), [work.shape for work in works]
    # One row for all sizes: the blocks decide in what order sums are added up.
    config = config_for(_row("adafactor", even), like, 0)
    blocks = blocks_for(config.blocks, shapes, few=few, enough=enough)
    table = tables.fields.written(fields_of(works, blocks), like.device)
    constants = tables.constants.written([work.constants() for work in works], like.device)
    work = torch.empty(workspace_floats(shapes, blocks), dtype=torch.float32, device=like.device)
    flags = {"ALIGNED": even, "NARROW_GRADIENT": works[0].gradient.dtype == torch.bfloat16}

    programs = tile_map(tuple(shape.tiles(blocks.columns, blocks.span) for shape in shapes), like.device)
    chunks = triton.next_power_of_2(triton.cdiv(max(1, *(shape.columns for shape in shapes)), blocks.columns))
    grid, where = (programs.shape[0],), (table, constants)
    launch_on(
        like, adafactor_sums, grid, programs, *where, rates, work, blocks.span,
        config=config, DIVIDED=blocks.divided, **flags,
    )  # fmt: skip
    if blocks.divided:
        fold(shapes, blocks, like, *where, rates, work)
    launch_on(
        like, adafactor_norms, grid, programs, *where, work, blocks.span, blocks.band,
        config=config, CHUNKS=chunks, **flags,
    )  # fmt: skip

    apply_config = config_for(_row("adafactor_apply", even), like, sum(work.parameter.numel() for work in works))
    span = (apply_config.blocks["COLUMNS"], apply_config.blocks["SPAN"])
    programs = tile_map(tuple(shape.tiles(*span) or int(shape.columns > 0) for shape in shapes), like.device)
    flags |= {"NARROW_PARAMETER": like.dtype == torch.bfloat16, "STOCHASTIC": stochastic}
    launch_on(
        like, adafactor_apply, (programs.shape[0],), programs, *where, rates, counts, work,
        config=apply_config, **flags,
    )  # fmt: skip


def aligned(work: Work) -> bool:
    """Whether rows begin at multiples of 16 bytes, so that threads load and store eight elements at once."""
    addresses = (work.parameter.data_ptr(), work.gradient.data_ptr())
    return work.shape.columns % ELEMENTS_PER_BLOCK == 0 and all(address % 16 == 0 for address in addresses)


def compile_cases(arch: int) -> Iterator[CompileCase]:
    """See `fg_kernels.triton.cases`: programs in the middle of a matrix of 4096 columns and a band of rows."""
    tables = {"programs": "*i32", "table": "*i64", "constants": "*fp32"}
    rates, work = {"rates": "*fp32"}, {"work": "*fp32", "span": "i32"}
    divisible = frozenset({*tables, "rates", "counts", "work", "span", "band_rows"})
    kinds = (("bf16", True), ("fp32", True), ("bf16", False))
    for (gradient, even), divided in product(kinds, (False, True)):
        flags = {"ALIGNED": even, "NARROW_GRADIENT": gradient == "bf16"}
        variant = f"{gradient}{'' if even else '-odd'}{'-divided' if divided else ''}"
        for config in configs_of(_row("adafactor", even), arch):
            cells, columns = 1 if divided else BAND_CELLS, config.blocks["COLUMNS"]
            steps = cells * config.blocks["CELL"] // config.blocks["ROWS"]
            yield CompileCase(
                name=f"adafactor_sums/{variant}",
                kernel=adafactor_sums,
                signature=tables | rates | work,
                constants=flags | {"DIVIDED": divided},
                config=config,
                elements=cells * config.blocks["CELL"] * columns,
                trips=(cells, steps),
                divisible=divisible & {*tables, *rates, *work},
                wide=even,
            )
            yield CompileCase(
                name=f"adafactor_norms/{variant}",
                kernel=adafactor_norms,
                signature=tables | work | {"band_rows": "i32"},
                constants=flags | {"CHUNKS": triton.cdiv(4096, columns)},
                config=config,
                elements=cells * config.blocks["CELL"] * columns,
                trips=(1, 1, cells, steps),
                divisible=divisible & {*tables, *work, "band_rows"},
                wide=even,
            )
    yield from _apply_cases(arch, tables | rates | {"counts": "*i64", "work": "*fp32"}, divisible)


def _row(kernel: str, even: bool) -> str:
    """Of the table of configurations: what is loaded and rounded one by one takes more registers."""
    return kernel if even else f"{kernel}_odd"


def _apply_cases(arch: int, signature: dict[str, str], divisible: frozenset[str]) -> Iterator[CompileCase]:
    """As users get them: bf16 with bf16 or fp32 gradients, rounded either way, in odd shapes too; and all fp32."""
    variants = (
        ("bf16", "bf16", True, True),
        ("bf16", "fp32", True, True),
        ("bf16", "bf16", False, True),
        ("fp32", "fp32", False, True),
        ("bf16", "bf16", True, False),
    )
    for parameter, gradient, stochastic, even in variants:
        for config in configs_of(_row("adafactor_apply", even), arch):
            span, columns = config.blocks["SPAN"], config.blocks["COLUMNS"]
            rounding = "" if parameter == "fp32" else "-sr" if stochastic else "-nearest"
            flags = {"ALIGNED": even, "NARROW_GRADIENT": gradient == "bf16"}
            yield CompileCase(
                name=f"adafactor_apply/{parameter}-{gradient}{rounding}{'' if even else '-odd'}",
                kernel=adafactor_apply,
                signature=signature,
                constants=flags | {"NARROW_PARAMETER": parameter == "bf16", "STOCHASTIC": stochastic},
                config=config,
                elements=span * columns,
                trips=(1, 1, span // config.blocks["ROWS"], 0, 0),
                divisible=divisible & signature.keys(),
                wide=even,
            )
