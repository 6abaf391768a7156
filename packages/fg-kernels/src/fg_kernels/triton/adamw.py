"""AdamW for all parameters in one launch: 22 bytes per bf16 parameter, 14 with bf16 moments, 10 with 8 bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import triton
import triton.language as tl

from fg_kernels.triton.cases import CompileCase
from fg_kernels.triton.launch import Config
from fg_kernels.triton.parameters import (
    Lookup,
    cases_of,
    count_of,
    index_of,
    launch_tiles,
    loaded,
    narrowed,
    pointer_of,
    stored,
)
from fg_kernels.triton.quantization import (
    decode_dynamic,
    decode_dynamic_unsigned,
    encode_dynamic,
    encode_dynamic_unsigned,
    greatest,
    scaled,
)

# Columns of the table (three names come before them), and how many hyper-parameters there are.
_PARAMETER = tl.constexpr(9)
_GRADIENT = tl.constexpr(10)
_FIRST = tl.constexpr(11)
_SECOND = tl.constexpr(12)
_FIRST_SCALE = tl.constexpr(13)
_SECOND_SCALE = tl.constexpr(14)
_NUMBERS = tl.constexpr(8)


@triton.jit
def adamw(
    tiles,
    table,
    steps,
    numbers,
    P16: tl.constexpr,
    G16: tl.constexpr,
    STATE: tl.constexpr,
    STOCHASTIC: tl.constexpr,
    EVEN: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Update one tile of one parameter.

    Args:
        tiles, table, steps: see `parameters`; noises and addresses are those of the parameter and both moments, and
            of the gradient and the scales.
        numbers: beta1, 1 - beta1, beta2, 1 - beta2, eps, correction of the second moment's root, decay, step size.
        P16: the parameter is bf16, not fp32; G16: the gradient.
        STATE: bits of a moment: 32 (fp32), 16 (bf16) or 8 (blocks of 256).
        STOCHASTIC: how bf16 is rounded.
        EVEN: all counts are multiples of 16.
        BLOCK: elements of a tile.
    """
    tensor = tl.load(tiles + 2 * tl.program_id(0))
    tile = tl.load(tiles + 2 * tl.program_id(0) + 1)
    COLUMNS: tl.constexpr = 15 if STATE == 8 else 13
    row, number = table + tensor * COLUMNS, numbers + tensor * _NUMBERS
    step = tl.load(steps + tensor)
    index = index_of(tile, BLOCK)
    inside = index < count_of(row, EVEN)
    gradient = loaded(row, _GRADIENT, index, inside, G16)
    if STATE == 8:
        first = _decoded(row, _FIRST, _FIRST_SCALE, index, inside, tile, False, BLOCK)
        second = _decoded(row, _SECOND, _SECOND_SCALE, index, inside, tile, True, BLOCK)
    else:
        first = loaded(row, _FIRST, index, inside, STATE == 16)
        second = loaded(row, _SECOND, index, inside, STATE == 16)
    first = first * tl.load(number) + gradient * tl.load(number + 1)
    second = second * tl.load(number + 2) + gradient * gradient * tl.load(number + 3)
    # The moments are rounded before roots and quotients, whose branches would keep all of them in registers.
    first_kept = narrowed(first, row, 1, tile, step, STATE == 16, STOCHASTIC, BLOCK)
    second_kept = narrowed(second, row, 2, tile, step, STATE == 16, STOCHASTIC, BLOCK)
    denominator = tl.sqrt_rn(second) * tl.load(number + 5) + tl.load(number + 4)
    value = loaded(row, _PARAMETER, index, inside, P16)
    value = value * tl.load(number + 6) - tl.div_rn(first * tl.load(number + 7), denominator)
    value_kept = narrowed(value, row, 0, tile, step, P16, STOCHASTIC, BLOCK)
    stored(value_kept, row, _PARAMETER, index, inside, P16)
    if STATE == 8:
        _encoded(first, row, _FIRST, _FIRST_SCALE, index, inside, tile, False, BLOCK)
        _encoded(second, row, _SECOND, _SECOND_SCALE, index, inside, tile, True, BLOCK)
    else:
        stored(first_kept, row, _FIRST, index, inside, STATE == 16)
        stored(second_kept, row, _SECOND, index, inside, STATE == 16)


@triton.jit
def _decoded(
    row,
    CODES: tl.constexpr,
    SCALES: tl.constexpr,
    index,
    inside,
    tile,
    UNSIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    code = tl.load(pointer_of(row, CODES, tl.uint8) + index, mask=inside, other=0).to(tl.int32)
    ROWS: tl.constexpr = BLOCK // 256
    block = tile.to(tl.int64) * ROWS + tl.arange(0, ROWS)
    some = block * 256 < tl.load(row)
    scale = tl.load(pointer_of(row, SCALES, tl.float32) + block, mask=some, other=0.0)
    value = decode_dynamic_unsigned(code) if UNSIGNED else decode_dynamic(code)
    return value * scale[:, None]


@triton.jit
def _encoded(
    value,
    row,
    CODES: tl.constexpr,
    SCALES: tl.constexpr,
    index,
    inside,
    tile,
    UNSIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    value = tl.where(inside, value, 0.0)
    scale = greatest(value)
    ratio = scaled(value, scale)
    code = encode_dynamic_unsigned(ratio) if UNSIGNED else encode_dynamic(ratio)
    tl.store(pointer_of(row, CODES, tl.uint8) + index, code.to(tl.uint8), mask=inside)
    ROWS: tl.constexpr = BLOCK // 256
    block = tile.to(tl.int64) * ROWS + tl.arange(0, ROWS)
    some = block * 256 < tl.load(row)
    tl.store(pointer_of(row, SCALES, tl.float32) + block, scale, mask=some)


def adamw_(lookup: Lookup, variant: Mapping[str, int], config: Config) -> None:
    """Launch; `variant` are the compile-time arguments beside the blocks of `config`."""
    launch_tiles(adamw, lookup, variant, config)


def compile_cases(arch: int) -> Iterator[CompileCase]:
    """See `fg_kernels.triton.cases`."""
    return cases_of("adamw", adamw, dict(_variants()), arch)


def _variants() -> Iterator[tuple[str, dict[str, int]]]:
    """What users get: bf16 with each state, rounded either way; gradients accumulated in fp32; fp32; odd sizes."""
    for state in (32, 16, 8):
        usual = {"P16": True, "G16": True, "STATE": state, "STOCHASTIC": True, "EVEN": True}
        yield f"state{state}", usual
        yield f"state{state}-nearest", usual | {"STOCHASTIC": False}
        yield f"state{state}-wide-gradient", usual | {"G16": False}
        yield f"state{state}-fp32", usual | {"P16": False, "G16": False}
        yield f"state{state}-odd", usual | {"EVEN": False}
