"""Blockwise 8-bit codes as device functions that optimizer kernels share, and as kernels of their own.

The codes are those of `fg_kernels.reference.quantization`, bit for bit; tables are replaced by arithmetic, because a
gather per element would cost more than the memory that 8 bits save.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from fg_kernels.reference.quantization import (
    CODES,
    FP8_GREATEST,
    LINEAR_STEPS,
    SMALLEST_SCALE,
    Quantized,
    block_count,
    decade_starts,
    zero_below,
)
from fg_kernels.triton.cases import CompileCase
from fg_kernels.triton.elementwise import as_bits, store_rounded
from fg_kernels.triton.launch import config_for, configs_of, launch_on

_STARTS = tl.constexpr((tuple(decade_starts(1)), tuple(decade_starts(2))))
_ZERO_BELOW = tl.constexpr(zero_below(1))
_SMALLEST_SCALE = tl.constexpr(SMALLEST_SCALE)
_LINEAR_STEPS = tl.constexpr(LINEAR_STEPS)
_LINEAR_UNIT = tl.constexpr(1 / LINEAR_STEPS)
_FP8_GREATEST = tl.constexpr(FP8_GREATEST)
_FP8_UNIT = tl.constexpr(1 / FP8_GREATEST)
# Adding and subtracting 1.5 * 2**23 rounds fp32 of less than 2**22 to the nearest integer, ties to even.
_ROUNDER = tl.constexpr(12582912.0)


@triton.jit
def inverse_of(scale):
    """What values are multiplied by to lie in -1..1: 0 for a block that is as good as zero."""
    tiny = scale < _SMALLEST_SCALE
    return tl.where(tiny, 0.0, tl.div_rn(1.0, tl.where(tiny, 1.0, scale)))


@triton.jit
def scaled(value, scale):
    """`value` (rows, columns) by the `scale` of each row; NaN becomes zero, the scale tells of it."""
    ratio = value * inverse_of(scale)[:, None]
    return tl.where(ratio == ratio, ratio, 0.0)


@triton.jit
def _dynamic_steps(magnitude, FIRST: tl.constexpr):
    """Number the values of a dynamic code from FIRST upwards, see the reference; the decade by bisection."""
    starts: tl.constexpr = _STARTS[FIRST - 1]
    upper = magnitude >= starts[3]
    half = tl.where(upper, starts[5], starts[1])
    third = magnitude >= half
    quarter = tl.where(upper, tl.where(third, starts[6], starts[4]), tl.where(third, starts[2], starts[0]))
    fourth = magnitude >= quarter
    tens = tl.where(upper, 1.0, 1e4) * tl.where(third, 1.0, 1e2) * tl.where(fourth, 1.0, 10.0)
    decade = tl.where(upper, 4, 0) + tl.where(third, 2, 0) + tl.where(fourth, 1, 0)
    least = FIRST << decade
    place = magnitude * (tens * (1 / 9)) + (8 / 9)
    return tl.minimum(tl.maximum((place * least.to(tl.float32)).to(tl.int32), least), 2 * least - 1)


@triton.jit
def _dynamic_value(steps, FIRST: tl.constexpr):
    """The inverse of `_dynamic_steps`, for steps of at least FIRST."""
    bits = (steps.to(tl.float32) + 0.5).to(tl.int32, bitcast=True)
    decade = (bits >> 23) - (126 + FIRST)
    place = ((bits & 0x7FFFFF) | 0x3F800000).to(tl.float32, bitcast=True)
    tens = (
        tl.where((decade & 4) != 0, 1e4, 1.0)
        * tl.where((decade & 2) != 0, 1e2, 1.0)
        * tl.where((decade & 1) != 0, 10.0, 1.0)
    )
    value = (place * 0.9 - 0.8) * (tens * 1e-6)
    return tl.where(steps == FIRST * 128, 1.0, value)


@triton.jit
def encode_dynamic(value):
    """Codes (int32) of values in -1..1."""
    magnitude = tl.abs(value)
    steps = tl.where(magnitude >= _ZERO_BELOW, _dynamic_steps(magnitude, 1), 0)
    return tl.where(value < 0, 127 - tl.minimum(steps, 127), 127 + steps)


@triton.jit
def decode_dynamic(code):
    """Values in -1..1 of codes (int32)."""
    steps = tl.abs(code - 127)
    value = tl.where(steps == 0, 0.0, _dynamic_value(steps, 1))
    return tl.where(code < 127, -value, value)


@triton.jit
def encode_dynamic_unsigned(value):
    """Codes (int32) of values in 0..1."""
    return tl.where(value > 0, _dynamic_steps(value, 2) - 1, 0)


@triton.jit
def decode_dynamic_unsigned(code):
    """Values in 0..1 of codes (int32)."""
    return tl.where(code == 0, 0.0, _dynamic_value(code + 1, 2))


@triton.jit
def _encode_fp8(value):
    """The bits (int32) of e4m3 nearest to fp32 values in -448..448, ties to even."""
    magnitude = tl.abs(value)
    bits = magnitude.to(tl.int32, bitcast=True)
    normal = ((bits + 0x7FFFF + ((bits >> 20) & 1)) >> 20) - (120 << 3)
    subnormal = ((magnitude * 512 + _ROUNDER) - _ROUNDER).to(tl.int32)
    code = tl.minimum(tl.where(magnitude < 0.015625, subnormal, normal), 0x7E)
    return tl.where(value.to(tl.int32, bitcast=True) < 0, code | 0x80, code)


@triton.jit
def _decode_fp8(code):
    """The fp32 values of e4m3 bits (int32)."""
    magnitude = code & 0x7F
    normal = ((magnitude << 20) + (120 << 23)).to(tl.float32, bitcast=True)
    value = tl.where(magnitude < 8, magnitude.to(tl.float32) * 0.001953125, normal)
    return (value.to(tl.int32, bitcast=True) | ((code & 0x80) << 24)).to(tl.float32, bitcast=True)


@triton.jit
def _encode(value, CODE: tl.constexpr):
    if CODE == "dynamic":
        code = encode_dynamic(value)
    elif CODE == "dynamic_unsigned":
        code = encode_dynamic_unsigned(value)
    elif CODE == "linear":
        code = ((value * _LINEAR_STEPS + _ROUNDER) - _ROUNDER).to(tl.int32)
    else:
        code = _encode_fp8(value * _FP8_GREATEST)
    return code


@triton.jit
def _decode(code, scale, CODE: tl.constexpr):
    if CODE == "dynamic":
        value = decode_dynamic(code) * scale
    elif CODE == "dynamic_unsigned":
        value = decode_dynamic_unsigned(code) * scale
    elif CODE == "linear":
        value = code.to(tl.float32) * (scale * _LINEAR_UNIT)
    else:
        value = _decode_fp8(code) * (scale * _FP8_UNIT)
    return value


@triton.jit
def greatest(value):
    """The greatest magnitude of each row, NaN if it holds one."""
    magnitude = tl.abs(value).to(tl.int32, bitcast=True)  # ordered like the values, with NaN above infinity
    return tl.max(magnitude, axis=1).to(tl.float32, bitcast=True)


@triton.jit
def quantize(codes, scales, x, count, CODE: tl.constexpr, QUANTUM: tl.constexpr, BLOCK: tl.constexpr):
    """Code BLOCK elements in rows of QUANTUM."""
    ROWS: tl.constexpr = BLOCK // QUANTUM
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    index = row[:, None] * QUANTUM + tl.arange(0, QUANTUM)[None, :]
    value = tl.load(x + index, mask=index < count, other=0).to(tl.float32)  # the machine's bf16 costs less than bits
    scale = greatest(value)
    tl.store(scales + row, scale, mask=row * QUANTUM < count)
    code = _encode(scaled(value, scale), CODE)
    tl.store(codes + index, code.to(codes.dtype.element_ty), mask=index < count)


@triton.jit
def dequantize(x, codes, scales, count, CODE: tl.constexpr, QUANTUM: tl.constexpr, BLOCK: tl.constexpr):
    """Values of BLOCK codes in rows of QUANTUM."""
    ROWS: tl.constexpr = BLOCK // QUANTUM
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    index = row[:, None] * QUANTUM + tl.arange(0, QUANTUM)[None, :]
    code = tl.load(codes + index, mask=index < count, other=0).to(tl.int32)
    scale = tl.load(scales + row, mask=row * QUANTUM < count, other=0.0)
    store_rounded(x, index, _decode(code, scale[:, None], CODE), index < count)


def quantize_blockwise(x: Tensor, *, block: int, code: str) -> Quantized:
    """Launch for a contiguous `x`; see `fg_kernels.functional.quantize_blockwise`."""
    codes = torch.empty(x.shape, dtype=CODES[code], device=x.device)
    scales = torch.empty(block_count(x.numel(), block), dtype=torch.float32, device=x.device)
    config = config_for("quantize_blockwise", x)
    grid = (triton.cdiv(x.numel(), config.blocks["BLOCK"]),)
    launch_on(x, quantize, grid, _bits(codes), scales, x, x.numel(), CODE=code, QUANTUM=block, config=config)
    return Quantized(codes, scales)


def dequantize_blockwise(codes: Tensor, scales: Tensor, *, block: int, code: str, dtype: torch.dtype) -> Tensor:
    """Launch for contiguous `codes` and `scales`; see `fg_kernels.functional.dequantize_blockwise`."""
    x = torch.empty(codes.shape, dtype=dtype, device=codes.device)
    arguments = (as_bits(x), _bits(codes), scales, x.numel())
    config = config_for("quantize_blockwise", codes)
    grid = (triton.cdiv(x.numel(), config.blocks["BLOCK"]),)
    launch_on(x, dequantize, grid, *arguments, CODE=code, QUANTUM=block, config=config)
    return x


def _bits(codes: Tensor) -> Tensor:
    return codes.view(torch.uint8) if codes.dtype == torch.float8_e4m3fn else codes


def compile_cases(arch: int) -> Iterator[CompileCase]:
    """See `fg_kernels.triton.cases`."""
    for config in configs_of("quantize_blockwise", arch):
        for code, dtype in CODES.items():
            stored = "*i8" if dtype == torch.int8 else "*u8"
            tensors = {"codes": stored, "scales": "*fp32"}
            for kernel, signature in (
                (quantize, tensors | {"x": "*bf16", "count": "i64"}),
                (dequantize, {"x": "*u16"} | tensors | {"count": "i64"}),
            ):
                yield CompileCase(
                    name=f"{kernel.fn.__name__}/{code}",
                    kernel=kernel,
                    signature=signature,
                    constants={"CODE": code, "QUANTUM": 256},
                    config=config,
                    elements=config.blocks["BLOCK"],
                    divisible=frozenset(signature),
                )
