"""Gated linear units: an activation of one half of a projection times the other half.

Shazeer, "GLU Variants Improve Transformer", arXiv 2002.05202. Everything is computed in fp32 (fp64 for fp64 operands)
and rounded once. A model that keeps gate, up and their product holds three tensors of the widest kind it has; the
gradients below need only gate and up, so the activation is computed again instead of being kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fg_kernels.errors import OperandError, check_option
from fg_kernels.reference._operands import describe, wide_dtype

ACTIVATIONS = ("silu", "gelu", "gelu_tanh")
APPROXIMATIONS = {"none": "gelu", "tanh": "gelu_tanh"}

_TWICE_SQRT_2_OVER_PI = 2 * math.sqrt(2 / math.pi)
_CUBIC = 0.044715
_DENSITY_AT_0 = 1 / math.sqrt(2 * math.pi)


def swiglu(gate: Tensor, up: Tensor | None = None) -> Tensor:
    """Return `silu(gate) * up`.

    Args:
        gate: floating point (..., intermediate); without `up`, gate and up side by side (..., 2 * intermediate).
        up: same shape, dtype and device as `gate`.

    Returns:
        (..., intermediate) in the dtype of `gate`.

    Raises:
        OperandError: operands that do not fit together.
    """
    return gated(check_gated(gate, up), "silu")


def geglu(gate: Tensor, up: Tensor | None = None, *, approximate: str = "tanh") -> Tensor:
    """Return `gelu(gate) * up`; see `swiglu`.

    Args:
        gate: floating point (..., intermediate); without `up`, gate and up side by side (..., 2 * intermediate).
        up: same shape, dtype and device as `gate`.
        approximate: "none" for the error function, "tanh" for its usual approximation (arXiv 1606.08415).

    Returns:
        (..., intermediate) in the dtype of `gate`.

    Raises:
        OperandError: operands that do not fit together.
        UnknownOptionError: an approximation that does not exist.
    """
    check_option("approximate", approximate, APPROXIMATIONS)
    return gated(check_gated(gate, up), APPROXIMATIONS[approximate])


def check_gated(gate: Tensor, up: Tensor | None) -> list[Tensor]:
    """Return [gate, up], or [gate] if both are in it; raise `OperandError` if they do not fit together."""
    if not gate.is_floating_point():
        raise OperandError(f"a gated unit takes floating point tensors, not {describe(gate=gate)}")
    if up is None:
        if gate.ndim == 0 or gate.shape[-1] % 2:
            raise OperandError(f"without up, gate holds both in an even last dimension; got {describe(gate=gate)}")
        return [gate]
    if gate.shape != up.shape or gate.dtype != up.dtype or gate.device != up.device:
        raise OperandError(
            f"gate and up must agree in shape, dtype and device; got {describe(gate=gate, up=up)} "
            f"on {gate.device} and {up.device}"
        )
    return [gate, up]


def halves(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Gate and up, as views if they lie side by side in one tensor."""
    first, second = parts if len(parts) == 2 else parts[0].chunk(2, dim=-1)
    return first, second


def gated(parts: Sequence[Tensor], activation: str) -> Tensor:
    """The unit with one of `ACTIVATIONS`; `parts` as from `check_gated`."""
    gate, up = halves(parts)
    wide = wide_dtype(gate)
    x = gate.to(wide)
    return (x * share_of(x, activation) * up.to(wide)).to(gate.dtype)


def gated_gradients(grad: Tensor, parts: Sequence[Tensor], activation: str) -> list[Tensor]:
    """Gradients of `parts`, given that of the result."""
    gate, up = halves(parts)
    wide = wide_dtype(gate)
    x, grad = gate.to(wide), grad.to(wide)
    share = share_of(x, activation)
    of_gate = grad * up.to(wide) * slope_of(x, share, activation)
    gradients = [of_gate.to(gate.dtype), (grad * (x * share)).to(gate.dtype)]
    return gradients if len(parts) == 2 else [torch.cat(gradients, dim=-1)]


def share_of(x: Tensor, activation: str) -> Tensor:
    """What an activation multiplies `x` by.

    The `(1 + tanh(u)) / 2` of the approximate gelu is written as `sigmoid(2 * u)`: nothing cancels for negative `u`.
    """
    if activation == "gelu":
        return 0.5 * (1 + torch.erf(x * math.sqrt(0.5)))
    return torch.sigmoid(x if activation == "silu" else _TWICE_SQRT_2_OVER_PI * (x + _CUBIC * x * x * x))


def slope_of(x: Tensor, share: Tensor, activation: str) -> Tensor:
    """The derivative of an activation at `x`, given `share_of` it."""
    if activation == "gelu":
        return share + x * (torch.exp(-0.5 * x * x) * _DENSITY_AT_0)
    change = x * share * (1 - share)
    return share + (change if activation == "silu" else change * (_TWICE_SQRT_2_OVER_PI * (1 + 3 * _CUBIC * x * x)))
