"""Hyper-parameters that the host knows, or only the device does: arithmetic that suits a float and a tensor alike.

In a captured CUDA graph the number of an update, and the learning rate if a schedule is to move it, are tensors: a
rule that read them (`float(tensor)`, `.item()`, a comparison) would make the host wait, and freeze them in the graph.
Rules are written with `+ - * / **` and the functions below. They compute in fp64 either way; a tensor may be 0-d, or
have one element for each of several updates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from fg_kernels.errors import HyperparameterError, check_range

Scalar: TypeAlias = float | Tensor


def rate(group: Mapping[str, Any]) -> Scalar:
    """The learning rate of a group: a float, or an fp64 tensor if the group holds a tensor."""
    return precise(group["lr"])


def precise(number: Scalar) -> Scalar:
    """A float, or an fp64 tensor."""
    return number.double() if isinstance(number, Tensor) else float(number)


def narrow(number: Scalar, like: Tensor) -> Scalar:
    """A number in the dtype of `like`, which a tensor of more bits would widen if `like` had no dimensions."""
    return number.to(like.dtype) if isinstance(number, Tensor) else number


def power(base: float, exponent: Scalar) -> Scalar:
    """`base ** exponent`."""
    return base ** precise(exponent)


def root(number: Scalar) -> Scalar:
    """The square root."""
    return number.sqrt() if isinstance(number, Tensor) else number**0.5


def smaller(first: Scalar, second: Scalar) -> Scalar:
    """The lesser of two numbers."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.minimum(first, second)
    if isinstance(first, Tensor):
        return first.clamp(max=second)
    return second.clamp(max=first) if isinstance(second, Tensor) else min(first, second)


def at_first(step: Scalar, first: float, later: float) -> Scalar:
    """`first` in update 1, `later` in all others."""
    if isinstance(step, Tensor):
        return torch.where(step == 1, first, torch.full_like(step, later, dtype=torch.float64))
    return first if step == 1 else later


def check_rate(value: Any) -> None:
    """Raise `HyperparameterError` unless `value` can be a learning rate.

    The sign of a tensor is not looked at: a device would have to be waited for.
    """
    if not isinstance(value, Tensor):
        check_range("lr", value, 0.0)
    elif value.ndim != 0 or not value.is_floating_point():
        raise HyperparameterError(
            f"lr is a tensor of shape {tuple(value.shape)} and dtype {value.dtype}; it must be a 0-d floating point one"
        )
