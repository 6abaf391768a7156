"""Blockwise quantisation to 8 bits."""

from __future__ import annotations

import torch
from torch import Tensor

from fg_kernels import reference
from fg_kernels.dispatch import choose
from fg_kernels.reference.quantization import (
    CODES,
    Quantized,
    block_count,
    check_dequantization,
    check_quantization,
)


def quantize_blockwise(x: Tensor, *, block: int = 256, code: str = "dynamic", backend: str = "auto") -> Quantized:
    """Code each run of `block` elements of the flattened `x` by its greatest magnitude; the codes are explained in
    `fg_kernels.reference.quantization`.

    A block that holds a NaN or an infinity becomes NaN as a whole. Nothing is differentiated.

    Args:
        x: fp32, bf16 or fp16 tensor of any shape; the last block may be shorter than the others.
        block: elements per block, a power of two from 16 to 4096.
        code: "dynamic", "dynamic_unsigned", "linear" or "fp8".
        backend: see `fg_kernels.dispatch`.

    Returns:
        Codes of the shape of `x`; scales (blocks,) in fp32.

    Raises:
        OperandError: wrong dtype or block.
        UnknownOptionError: a code or backend that does not exist.
        BackendError: `backend` was asked for and cannot do this.
    """
    check_quantization(x, block, code)
    return Quantized(*_quantize(x.detach(), block, code, backend))


def dequantize_blockwise(
    codes: Tensor,
    scales: Tensor,
    *,
    block: int = 256,
    code: str = "dynamic",
    dtype: torch.dtype = torch.float32,
    backend: str = "auto",
) -> Tensor:
    """Return the values that `quantize_blockwise` coded, in the shape of `codes`, rounded to nearest into `dtype`.

    Args:
        codes: as returned by `quantize_blockwise`.
        scales: (blocks,) in fp32.
        block: as it was quantised.
        code: as it was quantised.
        dtype: of the result: fp32, bf16 or fp16.
        backend: see `fg_kernels.dispatch`.

    Raises:
        OperandError: wrong dtype, block or number of scales.
        UnknownOptionError: a code or backend that does not exist.
        BackendError: `backend` was asked for and cannot do this.
    """
    check_dequantization(codes, scales, block, code, dtype)
    return _dequantize(codes.detach(), scales.detach(), block, code, dtype, backend)


@torch.library.custom_op("fg_kernels::quantize_blockwise", mutates_args=())
def _quantize(x: Tensor, block: int, code: str, backend: str) -> tuple[Tensor, Tensor]:
    if choose("quantize_blockwise", x, backend=backend) == "reference":
        return tuple(reference.quantize_blockwise(x, block=block, code=code))
    from fg_kernels.triton import quantization

    return tuple(quantization.quantize_blockwise(x.contiguous(), block=block, code=code))


@_quantize.register_fake
def _(x: Tensor, block: int, code: str, backend: str) -> tuple[Tensor, Tensor]:
    codes = torch.empty(x.shape, dtype=CODES[code], device=x.device)
    return codes, x.new_empty(block_count(x.numel(), block), dtype=torch.float32)


@torch.library.custom_op("fg_kernels::dequantize_blockwise", mutates_args=())
def _dequantize(codes: Tensor, scales: Tensor, block: int, code: str, dtype: torch.dtype, backend: str) -> Tensor:
    options = {"block": block, "code": code, "dtype": dtype}
    if choose("dequantize_blockwise", codes, backend=backend) == "reference":
        return reference.dequantize_blockwise(codes, scales, **options)
    from fg_kernels.triton import quantization

    return quantization.dequantize_blockwise(codes.contiguous(), scales.contiguous(), **options)


@_dequantize.register_fake
def _(codes: Tensor, scales: Tensor, block: int, code: str, dtype: torch.dtype, backend: str) -> Tensor:
    return torch.empty(codes.shape, dtype=dtype, device=codes.device)
