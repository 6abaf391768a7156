"""Root mean square normalisation, alone and with the residual addition before it.

Zhang and Sennrich, "Root Mean Square Layer Normalization", arXiv 1910.07467. Inside everything is fp32 (fp64 for fp64
operands) and the result is rounded once, after the weight: as in `torch.nn.functional.rms_norm` and in Gemma. Llama in
transformers rounds before the weight too; in fp32 the two are the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fg_kernels.errors import OperandError, check_range
from fg_kernels.reference._operands import describe, wide_dtype


def rms_norm(x: Tensor, weight: Tensor, *, eps: float = 1e-6, weight_offset: float = 0.0) -> Tensor:
    """Return `x / sqrt(mean(x**2) + eps) * (weight + weight_offset)` over the last dimension.

    Args:
        x: floating point (..., hidden).
        weight: floating point (hidden,), of any width.
        eps: added to the mean square.
        weight_offset: added to the weight; Gemma stores its weights around zero and takes 1.0.

    Returns:
        Tensor of the shape and dtype of `x`.

    Raises:
        OperandError: operands that do not fit together.
        HyperparameterError: a negative `eps`.
    """
    check_norm(x, None, weight, eps)
    return normalized(x, weight, eps, weight_offset)[0]


def add_rms_norm(
    x: Tensor, residual: Tensor, weight: Tensor, *, eps: float = 1e-6, weight_offset: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return the normalised sum of `x` and `residual`, and the sum.

    What is normalised is the sum as it is returned, rounded to the dtype of `x`: the same as adding first.

    Args:
        x: floating point (..., hidden).
        residual: same shape, dtype and device as `x`.
        weight: floating point (hidden,), of any width.
        eps: added to the mean square.
        weight_offset: added to the weight.

    Returns:
        Two tensors of the shape and dtype of `x`: `rms_norm(x + residual)` and `x + residual`.

    Raises:
        OperandError: operands that do not fit together.
        HyperparameterError: a negative `eps`.
    """
    check_norm(x, residual, weight, eps)
    total = x + residual
    return normalized(total, weight, eps, weight_offset)[0], total


def check_norm(x: Tensor, residual: Tensor | None, weight: Tensor, eps: float) -> None:
    """Raise `KernelError` unless the operands fit together."""
    check_range("eps", eps, 0.0)
    if not (x.is_floating_point() and weight.is_floating_point()):
        raise OperandError(f"normalisation takes floating point tensors, not {describe(x=x, weight=weight)}")
    if x.ndim == 0 or x.shape[-1] == 0 or weight.shape != x.shape[-1:]:
        raise OperandError(f"expected x (..., hidden) and weight (hidden,); got {describe(x=x, weight=weight)}")
    if residual is not None and (residual.shape != x.shape or residual.dtype != x.dtype):
        raise OperandError(f"x and residual must agree in shape and dtype; got {describe(x=x, residual=residual)}")
    if not x.device == weight.device == (x if residual is None else residual).device:
        raise OperandError(f"operands on different devices: x on {x.device}, weight on {weight.device}")


def normalized(x: Tensor, weight: Tensor, eps: float, weight_offset: float) -> tuple[Tensor, Tensor]:
    """The normalised rows (..., hidden) in the dtype of `x`, and what each was multiplied by, (...)."""
    wide = x.to(wide_dtype(x))
    scale = torch.rsqrt(wide.square().mean(dim=-1) + eps)
    return (wide * scale.unsqueeze(-1) * (weight.to(wide.dtype) + weight_offset)).to(x.dtype), scale


def norm_gradients(
    grad: Tensor, grad_total: Tensor | None, total: Tensor, scale: Tensor, weight: Tensor, weight_offset: float
) -> tuple[Tensor, Tensor]:
    """Gradients of what was normalised, (..., hidden), and of the weight, (hidden,).

    Args:
        grad: of the normalised rows.
        grad_total: that reaches the sum on another way, None if none does.
        total: what was normalised.
        scale: from `normalized`.
        weight: see `rms_norm`.
        weight_offset: see `rms_norm`.
    """
    wide, scale = total.to(scale.dtype), scale.unsqueeze(-1)
    unit, grad = wide * scale, grad.to(scale.dtype)
    weighted = grad * (weight.to(scale.dtype) + weight_offset)
    change = scale * (weighted - unit * (weighted * unit).mean(dim=-1, keepdim=True))
    if grad_total is not None:
        change = change + grad_total.to(scale.dtype)
    return change.to(total.dtype), (grad * unit).reshape(-1, total.shape[-1]).sum(dim=0).to(weight.dtype)
