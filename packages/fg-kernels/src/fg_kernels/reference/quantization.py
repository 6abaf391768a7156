"""Blockwise quantisation to 8 bits: each block of elements is divided by its greatest magnitude and coded.

Codes for values in -1..1:

    dynamic            uint8; dynamic tree quantisation (Dettmers et al., arXiv 2110.02861): seven decades from 1e-7 to
                       1; that which ends at `10**-k` is cut into `2**(6 - k)` equal steps on either side of zero
    dynamic_unsigned   uint8; the same for values that are never negative, with twice the steps. A value above zero
                       never becomes zero, because second moments are divided by
    linear             int8; 255 equal steps
    fp8                float8_e4m3fn, the block's greatest magnitude being 448

Every value becomes the nearest that its code has, up to the rounding of fp32. Arithmetic is written out in single fp32
operations, so that kernels can repeat it bit for bit.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from fg_kernels.errors import OperandError, check_option

CODES = {
    "dynamic": torch.uint8,
    "dynamic_unsigned": torch.uint8,
    "linear": torch.int8,
    "fp8": torch.float8_e4m3fn,
}
DECADES = 7
LINEAR_STEPS = 127
FP8_GREATEST = 448
# A block whose greatest magnitude is below this is zero: the inverse would overflow.
SMALLEST_SCALE = 2.0**-125

_FLOATS = (torch.float32, torch.bfloat16, torch.float16)
_BLOCKS = tuple(2**power for power in range(4, 13))


class Quantized(NamedTuple):
    """Codes in the shape of the tensor, and one fp32 scale (greatest magnitude) for each block."""

    codes: Tensor
    scales: Tensor


def quantize_blockwise(x: Tensor, *, block: int = 256, code: str = "dynamic") -> Quantized:
    """Code each run of `block` elements of the flattened `x` by its greatest magnitude.

    A block that holds a NaN or an infinity becomes NaN as a whole.

    Args:
        x: fp32, bf16 or fp16 tensor of any shape; the last block may be shorter than the others.
        block: elements per block, a power of two from 16 to 4096.
        code: "dynamic", "dynamic_unsigned", "linear" or "fp8".

    Returns:
        Codes of the shape of `x`; scales (blocks,) in fp32.

    Raises:
        OperandError: wrong dtype or block.
        UnknownOptionError: a code that does not exist.
    """
    check_quantization(x, block, code)
    values = _in_blocks(x.detach().reshape(-1).float(), block)
    scales = values.abs().amax(dim=1)
    inverse = torch.where(scales < SMALLEST_SCALE, 0.0, 1 / scales)
    codes = _encoded((values * inverse[:, None]).nan_to_num_(0.0), code)
    return Quantized(codes.view(-1)[: x.numel()].view(x.shape), scales)


def dequantize_blockwise(
    codes: Tensor,
    scales: Tensor,
    *,
    block: int = 256,
    code: str = "dynamic",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return the values that `quantize_blockwise` coded, in the shape of `codes`, rounded to nearest into `dtype`.

    Args:
        codes: as returned by `quantize_blockwise`.
        scales: (blocks,) in fp32.
        block: as it was quantised.
        code: as it was quantised.
        dtype: of the result: fp32, bf16 or fp16.

    Raises:
        OperandError: wrong dtype, block or number of scales.
        UnknownOptionError: a code that does not exist.
    """
    check_dequantization(codes, scales, block, code, dtype)
    values = _in_blocks(_decoded(codes.detach().reshape(-1), code), block) * _unit(scales, code)[:, None]
    return values.view(-1)[: codes.numel()].view(codes.shape).to(dtype)


def check_quantization(x: Tensor, block: int, code: str) -> None:
    """Raise unless `x` can be quantised so, see `quantize_blockwise`."""
    check_option("code", code, CODES)
    if x.dtype not in _FLOATS:
        raise OperandError(f"cannot quantise {x.dtype}; valid: {', '.join(map(str, _FLOATS))}")
    _check_block(block)


def check_dequantization(codes: Tensor, scales: Tensor, block: int, code: str, dtype: torch.dtype) -> None:
    """Raise unless the codes fit the rest, see `dequantize_blockwise`."""
    check_option("code", code, CODES)
    _check_block(block)
    if codes.dtype != CODES[code] or scales.dtype != torch.float32 or dtype not in _FLOATS:
        raise OperandError(
            f"code {code!r} has codes of {CODES[code]} and scales of float32, and gives a floating point type of at "
            f"most 32 bits; these are {codes.dtype}, {scales.dtype} and {dtype}"
        )
    blocks = block_count(codes.numel(), block)
    if scales.shape != (blocks,):
        raise OperandError(
            f"{codes.numel()} codes in blocks of {block} have {blocks} scales, not {tuple(scales.shape)}"
        )


def block_count(count: int, block: int) -> int:
    """How many blocks `count` elements have."""
    return -(-count // block)


def decade_starts(first: int) -> list[float]:
    """The least value, 0 to 1, of each decade of a dynamic code but the lowest, and that of the code for 1.

    A decade begins half-way between the last value of the one below and its own first.

    Args:
        first: steps of the lowest decade: 1 for the signed code, 2 for the unsigned one.
    """
    lasts = [10.0 ** (k - DECADES) * (10 - 4.5 / (first << k)) for k in range(DECADES)]
    firsts = [10.0 ** (k - DECADES) * (1 + 4.5 / (first << k)) for k in range(DECADES)]
    return [(last + above) / 2 for last, above in zip(lasts, [*firsts[1:], 1.0], strict=True)]


def zero_below(first: int) -> float:
    """Half the smallest value of a dynamic code."""
    return 10.0**-DECADES * (1 + 4.5 / first) / 2


def _check_block(block: int) -> None:
    if block not in _BLOCKS:
        raise OperandError(f"block={block}; valid: powers of two from {_BLOCKS[0]} to {_BLOCKS[-1]}")


def _in_blocks(values: Tensor, block: int) -> Tensor:
    """Lay (count,) out as (blocks, block), padded with zeros."""
    blocks = block_count(values.numel(), block)
    return torch.nn.functional.pad(values, (0, blocks * block - values.numel())).view(blocks, block)


def _encoded(values: Tensor, code: str) -> Tensor:
    if code == "linear":
        return torch.round(values * LINEAR_STEPS).to(torch.int8)
    if code == "fp8":
        return values.mul(FP8_GREATEST).clamp_(-FP8_GREATEST, FP8_GREATEST).to(torch.float8_e4m3fn)
    if code == "dynamic":
        steps = _steps(values.abs(), 1)
        steps = torch.where(values.abs() < zero_below(1), 0, steps)
        return torch.where(values < 0, 127 - steps.clamp(max=127), 127 + steps).to(torch.uint8)
    return torch.where(values > 0, _steps(values, 2) - 1, 0).to(torch.uint8)


def _steps(magnitude: Tensor, first: int) -> Tensor:
    """Number the values of a dynamic code from `first` upwards: decade k has those from `first << k` on."""
    starts = torch.tensor(decade_starts(first), dtype=torch.float32, device=magnitude.device)
    decade = torch.bucketize(magnitude, starts, right=True)
    tens = torch.tensor([10.0 ** (DECADES - k) for k in range(DECADES + 1)], device=magnitude.device)
    least = first << decade
    # The place inside a decade, from 1 to 2: steps divide it evenly.
    place = magnitude.mul((tens * (1 / 9))[decade]).add_(8 / 9)
    return place.mul_(least).to(torch.int64).clamp(min=least, max=2 * least - 1)


def _decoded(codes: Tensor, code: str) -> Tensor:
    """Values in -1..1 for the dynamic codes, -127..127 for linear, -448..448 for fp8."""
    if code in ("linear", "fp8"):
        return codes.float()
    return _dynamic_values(code).to(codes.device)[codes.int()]


def _unit(scales: Tensor, code: str) -> Tensor:
    return scales * {"linear": 1 / LINEAR_STEPS, "fp8": 1 / FP8_GREATEST}.get(code, 1.0)


@lru_cache(maxsize=2)
def _dynamic_values(code: str) -> Tensor:
    """fp32 (256,): the value of each code."""
    if code == "dynamic":
        values = _step_values(torch.arange(1, 129), 1)
        return torch.cat((-values[:127].flip(0), torch.zeros(1), values))
    return torch.cat((torch.zeros(1), _step_values(torch.arange(2, 257), 2)))


def _step_values(steps: Tensor, first: int) -> Tensor:
    """The inverse of `_steps`: the middle of each step, and 1 for the greatest number."""
    decade = torch.log2(steps.double()).floor().int() - (first - 1)
    place = (steps + 0.5) / (first << decade)
    tens = torch.tensor([10.0**k for k in range(DECADES + 1)])[decade] * 1e-6
    return torch.where(decade == DECADES, 1.0, place.float().mul(0.9).sub(0.8).mul(tens))
