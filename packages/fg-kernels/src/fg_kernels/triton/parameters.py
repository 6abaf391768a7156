"""Optimizers that treat every element alike: one program per tile of one of many parameters.

A program looks its tensor up in `tiles`, and the tensor's numbers in a row of `table` (int64):

    COUNT, OFFSET    elements, and where the first of them lies in the whole parameter, a multiple of 8
    SEED             of the noise
    KEYS …           two words (low, high) of the name of each of NOISES tensors that are rounded
    addresses …      of the parameter, the gradient and the state, multiples of 16

An index or value has the shape (rows, 256): 256 elements are a block of an 8-bit state, and what a warp loads at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from fg_kernels.triton.cases import CompileCase
from fg_kernels.triton.launch import Config, configs_of, launch_on
from fg_kernels.triton.rounding import bf16_to_fp32, noise16, round_stochastically, round_to_nearest

QUANTUM: Final = 256
ALIGNMENT: Final = 16
# Counts that are multiples of this are loaded and stored 16 bytes at a time.
EVEN: Final = 16

_QUANTUM = tl.constexpr(QUANTUM)
_KEYS = tl.constexpr(3)


class Lookup(NamedTuple):
    """What a launch for many parameters is told: who works on what, and with which numbers.

    Attributes:
        tiles: int32 (programs, 2), see `tile_map`.
        table: int64 (parameters, columns), see above.
        steps: int64 (parameters,), numbers of the updates.
        numbers: fp32 (parameters, numbers), hyper-parameters in the order that the kernel documents.
    """

    tiles: Tensor
    table: Tensor
    steps: Tensor
    numbers: Tensor


def launch_tiles(kernel: Any, lookup: Lookup, variant: Mapping[str, Any], config: Config) -> None:
    """Launch `kernel` with one program per tile; `variant` are its compile-time arguments beside the blocks."""
    launch_on(lookup.tiles, kernel, (lookup.tiles.shape[0],), *lookup, config=config, **variant)


def cases_of(op: str, kernel: Any, variants: Mapping[str, Mapping[str, Any]], arch: int) -> Iterator[CompileCase]:
    """`kernel` in all of its variants, with every config of `op`; see `fg_kernels.triton.cases`."""
    signature = {"tiles": "*i32", "table": "*i64", "steps": "*i64", "numbers": "*fp32"}
    for config in configs_of(op, arch):
        for name, variant in variants.items():
            yield CompileCase(
                name=f"{op}/{name}",
                kernel=kernel,
                signature=signature,
                constants=variant,
                config=config,
                elements=config.blocks["BLOCK"],
                divisible=frozenset(signature),
                wide=bool(variant["EVEN"]),
            )


@triton.jit
def index_of(tile, BLOCK: tl.constexpr):
    """The elements of a tile (int64)."""
    ROWS: tl.constexpr = BLOCK // _QUANTUM
    inside = tl.arange(0, ROWS)[:, None] * _QUANTUM + tl.arange(0, _QUANTUM)[None, :]
    return tile.to(tl.int64) * BLOCK + inside


@triton.jit
def count_of(row, EVEN: tl.constexpr):
    """The number of elements; the compiler learns if it is a multiple of 16."""
    count = tl.load(row)
    if EVEN:
        count = tl.multiple_of(count, 16)
    return count


@triton.jit
def pointer_of(row, COLUMN: tl.constexpr, DTYPE: tl.constexpr):
    """The address in a column."""
    return tl.multiple_of(tl.load(row + COLUMN).to(tl.pointer_type(DTYPE)), 16)


@triton.jit
def loaded(row, COLUMN: tl.constexpr, index, inside, BF16: tl.constexpr):
    """The fp32 values of a bf16 or fp32 tensor."""
    if BF16:
        value = bf16_to_fp32(tl.load(pointer_of(row, COLUMN, tl.uint16) + index, mask=inside, other=0))
    else:
        value = tl.load(pointer_of(row, COLUMN, tl.float32) + index, mask=inside, other=0.0)
    return value


@triton.jit
def narrowed(
    value, row, NOISE: tl.constexpr, tile, step, BF16: tl.constexpr, STOCHASTIC: tl.constexpr, BLOCK: tl.constexpr
):
    """What a tensor takes of fp32 values: themselves, or the bits of bf16 (uint16), with the noise of one of the names.

    A kernel calls it for all its results before it stores the first: then it loads the seed, and works with it, once.
    """
    if BF16 and STOCHASTIC:
        ROWS: tl.constexpr = BLOCK // _QUANTUM
        EIGHTS: tl.constexpr = _QUANTUM // 8
        low = tl.load(row + _KEYS + 2 * NOISE).to(tl.uint32)
        high = tl.load(row + _KEYS + 2 * NOISE + 1).to(tl.uint32)
        first = (tl.load(row + 1) + tile.to(tl.int64) * BLOCK) // 8
        block = first + tl.arange(0, ROWS)[:, None] * EIGHTS + tl.arange(0, EIGHTS)[None, :]
        noise = tl.reshape(noise16(block, step, low, high, tl.load(row + 2)), (ROWS, _QUANTUM))
        value = round_stochastically(value, noise)
    elif BF16:
        value = round_to_nearest(value)
    return value


@triton.jit
def stored(value, row, COLUMN: tl.constexpr, index, inside, BF16: tl.constexpr):
    """Write what `narrowed` returned."""
    tl.store(pointer_of(row, COLUMN, tl.uint16 if BF16 else tl.float32) + index, value, mask=inside)
