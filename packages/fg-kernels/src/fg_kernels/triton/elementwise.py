"""Loading and storing fp32 values through pointers of any width; bf16 travels as bits (`as_bits`)."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from fg_kernels.triton.rounding import bf16_to_fp32, round_to_nearest

# How Triton spells pointers to what `as_bits` hands over.
POINTERS = {"bf16": "*u16", "fp16": "*fp16", "fp32": "*fp32"}


def as_bits(tensor: Tensor) -> Tensor:
    """The tensor as kernels take it."""
    return tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor


@triton.jit
def widened(stored):
    """The fp32 value of what was loaded."""
    if stored.dtype == tl.uint16:
        return bf16_to_fp32(stored)
    else:
        return stored.to(tl.float32)


@triton.jit
def rounded_for(pointer, value):
    """What is stored at `pointer` for an fp32 `value`, rounded to the nearest."""
    if pointer.dtype.element_ty == tl.uint16:
        return round_to_nearest(value)
    else:
        return value.to(pointer.dtype.element_ty)


@triton.jit
def load_wide(pointer, offset, mask):
    """Values in fp32; zero where masked."""
    return widened(tl.load(pointer + offset, mask=mask, other=0))


@triton.jit
def load_wide_or(pointer, offset, mask, other):
    """Values in fp32; `other` where masked."""
    if pointer.dtype.element_ty == tl.uint16:
        return tl.where(mask, load_wide(pointer, offset, mask), other)
    else:
        return tl.load(pointer + offset, mask=mask, other=other).to(tl.float32)


@triton.jit
def store_rounded(pointer, offset, value, mask):
    """Round fp32 values to the dtype of `pointer` and store them."""
    tl.store(pointer + offset, rounded_for(pointer, value), mask=mask)
