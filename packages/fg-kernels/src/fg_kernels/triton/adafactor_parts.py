"""What the kernels of Adafactor are made of: the tables they read, sums and scales, the update of a tile."""

from __future__ import annotations

import triton
import triton.language as tl

from fg_kernels.triton.rounding import bf16_to_fp32, noise16, noise16_of, round_stochastically, round_to_nearest

# Columns of the tables, in the order of `adafactor_plan`.
PARAMETER = tl.constexpr(0)
GRADIENT = tl.constexpr(1)
FIRST_STATE = tl.constexpr(2)
COLUMN_STATE = tl.constexpr(3)
ROW_COUNT = tl.constexpr(4)
COLUMN_COUNT = tl.constexpr(5)
ROW_SHARES = tl.constexpr(6)
COLUMN_SHARES = tl.constexpr(7)
TOTALS = tl.constexpr(8)
NORMS = tl.constexpr(9)
CELL_SUMS = tl.constexpr(10)
NAME_LOW = tl.constexpr(11)
NAME_HIGH = tl.constexpr(12)
SEED = tl.constexpr(13)
CELLS = tl.constexpr(14)
FIELDS = tl.constexpr(15)

EPS = tl.constexpr(0)
INVERSE_CLIP = tl.constexpr(1)
INVERSE_ROWS = tl.constexpr(2)
INVERSE_COLUMNS = tl.constexpr(3)
INVERSE_ROOT = tl.constexpr(4)
CONSTANTS = tl.constexpr(5)

WEIGHT = tl.constexpr(0)
KEEP = tl.constexpr(1)
STEP_SIZE = tl.constexpr(2)
DECAY = tl.constexpr(3)
RATES = tl.constexpr(4)


@triton.jit
def load_fp32(pointer, mask, NARROW: tl.constexpr):
    """fp32 values of a tensor of fp32, or of the bits of bf16 (`NARROW`); zero outside the mask."""
    return bf16_to_fp32(tl.load(pointer, mask=mask, other=0)) if NARROW else tl.load(pointer, mask=mask, other=0.0)


@triton.jit
def pointer_to(entry, field, NARROW: tl.constexpr, ALIGNED: tl.constexpr):
    """The address in a field of the table as a pointer to fp32, or to the bits of bf16 (`NARROW`)."""
    if NARROW:
        pointer = tl.load(entry + field).to(tl.pointer_type(tl.uint16))
    else:
        pointer = tl.load(entry + field).to(tl.pointer_type(tl.float32))
    if ALIGNED:
        pointer = tl.multiple_of(pointer, 16)
    return pointer


@triton.jit
def shape_at(entry, ALIGNED: tl.constexpr):
    """(rows, columns) of a tensor."""
    columns = tl.load(entry + COLUMN_COUNT).to(tl.int32)
    if ALIGNED:
        columns = tl.multiple_of(columns, 8)
    return tl.load(entry + ROW_COUNT).to(tl.int32), columns


@triton.jit
def share_of(total, old, inverse, eps, weight, keep, first):
    """What a part of a sum adds to the moving average of the mean; `first` parts bring the old average in."""
    mean = total * inverse
    return tl.where(first, old * keep + (mean + eps) * weight, mean * weight)


@triton.jit
def store_column_shares(squares, entry, constant, work, band, columns, column, inside, eps, weight, keep):
    """Of the `squares` of a band, summed in each `column`; the first band brings the old averages in."""
    old = tl.load(pointer_to(entry, COLUMN_STATE, False, False) + column, mask=inside & (band == 0), other=0.0)
    share = share_of(squares, old, tl.load(constant + INVERSE_ROWS), eps, weight, keep, band == 0)
    tl.store(work + tl.load(entry + COLUMN_SHARES) + band.to(tl.int64) * columns + column, share, mask=inside)


@triton.jit
def sum_of(pointer, count, BLOCK: tl.constexpr):
    """The sum of `count` numbers, in a fixed order."""
    total = 0.0
    for start in range(0, count, BLOCK):
        index = start + tl.arange(0, BLOCK)
        total += tl.sum(tl.load(pointer + index, mask=index < count, other=0.0))
    return total


@triton.jit
def sum_of_rows(pointer, rows, columns, column, inside, COLUMNS: tl.constexpr):
    """The sum of the rows of a matrix of fp32, four at a time: for each `column` where `inside`, else zero."""
    lane = tl.arange(0, 4)
    place = lane[:, None] * columns + column[None, :]
    total = tl.zeros((4, COLUMNS), tl.float32)
    for start in range(0, rows, 4):
        total += tl.load(pointer + place, mask=(start + lane < rows)[:, None] & inside[None, :], other=0.0)
        pointer += 4 * columns
    return tl.sum(total, axis=0)


@triton.jit
def clipped(squares, constant, rate):
    """The factor of an update whose elements have this sum of squares: the step size, or less."""
    norm = tl.sqrt_rn(squares) * tl.load(constant + INVERSE_ROOT) * tl.load(constant + INVERSE_CLIP)
    excess = tl.maximum(norm, 1.0, propagate_nan=tl.PropagateNan.ALL)
    return tl.div_rn(1.0, excess) * tl.load(rate + STEP_SIZE)


@triton.jit
def as_stored(
    value,
    step,
    low,
    high,
    seed,
    row,
    start,
    columns,
    ALIGNED: tl.constexpr,
    NARROW: tl.constexpr,
    STOCHASTIC: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """What is stored of `value`, columns `start` and following of the given rows: fp32, or the bits of bf16."""
    if not NARROW:
        stored = value
    elif not STOCHASTIC:
        stored = round_to_nearest(value)
    elif ALIGNED:
        first = row.to(tl.uint32) * (columns // 8).to(tl.uint32) + start // 8
        block = first[:, None] + tl.arange(0, COLUMNS // 8).to(tl.uint32)[None, :]
        noise = tl.reshape(noise16(block, step, low, high, seed), (ROWS, COLUMNS))
        stored = round_stochastically(value, noise)
    else:
        index = row.to(tl.int64)[:, None] * columns + (start + tl.arange(0, COLUMNS))[None, :]
        stored = round_stochastically(value, noise16_of(index, step, low, high, seed))
    return stored


@triton.jit
def vector_part(gradient, state, start, count, eps, weight, keep, NARROW: tl.constexpr, COLUMNS: tl.constexpr):
    """New averages and unclipped updates of elements `start` and following of a vector, and which of them exist."""
    index = start + tl.arange(0, COLUMNS)[None, :]
    here = index < count
    value = load_fp32(gradient + index, here, NARROW)
    average = tl.load(state + index, mask=here, other=1.0) * keep + (value * value + eps) * weight
    return average, tl.div_rn(1.0, tl.sqrt_rn(tl.where(here, average, 1.0))) * value, here


@triton.jit
def apply_vector(
    gradient,
    parameter,
    state,
    constant,
    rate,
    step,
    low,
    high,
    seed,
    count,
    ALIGNED: tl.constexpr,
    NARROW_GRADIENT: tl.constexpr,
    NARROW_PARAMETER: tl.constexpr,
    STOCHASTIC: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """All of it for one vector: two walks over its gradient, for the norm and for the update."""
    eps, weight, keep = tl.load(constant + EPS), tl.load(rate + WEIGHT), tl.load(rate + KEEP)
    squares = tl.zeros((1, COLUMNS), tl.float32)
    for start in range(0, count, COLUMNS):
        _, update, _ = vector_part(gradient, state, start, count, eps, weight, keep, NARROW_GRADIENT, COLUMNS)
        squares += update * update
    factor, decay = clipped(tl.sum(tl.sum(squares, axis=1)), constant, rate), tl.load(rate + DECAY)
    for start in range(0, count, COLUMNS):
        average, update, here = vector_part(gradient, state, start, count, eps, weight, keep, NARROW_GRADIENT, COLUMNS)
        index = start + tl.arange(0, COLUMNS)[None, :]
        value = load_fp32(parameter + index, here, NARROW_PARAMETER) * decay - update * factor
        stored = as_stored(
            value, step, low, high, seed, tl.zeros((1,), tl.int32), start, count,
            ALIGNED, NARROW_PARAMETER, STOCHASTIC, 1, COLUMNS,
        )  # fmt: skip
        tl.store(state + index, average, mask=here)
        tl.store(parameter + index, stored, mask=here)


@triton.jit
def apply_matrix(
    gradient,
    parameter,
    row_state,
    column_state,
    constant,
    rate,
    step,
    low,
    high,
    seed,
    rows,
    columns,
    cells,
    totals,
    norms,
    tile,
    ALIGNED: tl.constexpr,
    NARROW_GRADIENT: tl.constexpr,
    NARROW_PARAMETER: tl.constexpr,
    STOCHASTIC: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SPAN: tl.constexpr,
):
    """`SPAN` rows of a chunk of columns."""
    chunks = tl.cdiv(columns, COLUMNS)
    start, first, lane = tile % chunks * COLUMNS, tile // chunks * SPAN, tl.arange(0, ROWS)
    column, ahead = start + tl.arange(0, COLUMNS), first + tl.arange(0, SPAN)
    inside = column < columns
    root = tl.sqrt_rn(sum_of(totals, cells, 512) * tl.load(constant + INVERSE_ROWS))
    factor, decay = clipped(sum_of(norms, cells, 512), constant, rate), tl.load(rate + DECAY)
    column_scale = tl.div_rn(1.0, tl.sqrt_rn(tl.load(column_state + column, mask=inside, other=1.0)))
    row_scales = tl.div_rn(root, tl.sqrt_rn(tl.load(row_state + ahead, mask=ahead < rows, other=1.0)))
    place = first.to(tl.int64) * columns + lane[:, None] * columns + column[None, :]
    gradient += place
    parameter += place
    for i in range(tl.cdiv(tl.minimum(SPAN, rows - first), ROWS)):
        row = first + i * ROWS + lane
        mask = (row < rows)[:, None] & inside[None, :]
        row_scale = tl.gather(row_scales, i * ROWS + lane, axis=0)
        update = row_scale[:, None] * column_scale[None, :] * load_fp32(gradient, mask, NARROW_GRADIENT)
        value = load_fp32(parameter, mask, NARROW_PARAMETER) * decay - update * factor
        stored = as_stored(
            value, step, low, high, seed, row, start, columns,
            ALIGNED, NARROW_PARAMETER, STOCHASTIC, ROWS, COLUMNS,
        )  # fmt: skip
        tl.store(parameter, stored, mask=mask)
        gradient += ROWS * columns
        parameter += ROWS * columns
