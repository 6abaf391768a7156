"""The dtype in which sums and functions are computed, whatever the operands are."""

from __future__ import annotations

import torch
from torch import Tensor


def wide_dtype(*tensors: Tensor) -> torch.dtype:
    """fp32, or the widest dtype among `tensors` where that is wider."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def describe(**tensors: Tensor) -> str:
    """Names, dtypes and shapes for an error message."""
    return ", ".join(f"{name} {tensor.dtype} {tuple(tensor.shape)}" for name, tensor in tensors.items())
