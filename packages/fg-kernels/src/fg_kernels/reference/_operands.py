"""What is said and decided about operands in more than one room."""

from __future__ import annotations

import torch
from torch import Tensor


def wide_dtype(tensor: Tensor) -> torch.dtype:
    """fp32, or the dtype of `tensor` where that is wider."""
    return torch.promote_types(torch.float32, tensor.dtype)


def describe(**tensors: Tensor) -> str:
    """Names, dtypes and shapes for an error message."""
    return ", ".join(f"{name} {tensor.dtype} {tuple(tensor.shape)}" for name, tensor in tensors.items())
