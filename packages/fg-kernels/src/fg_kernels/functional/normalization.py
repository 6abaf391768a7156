"""Root mean square normalisation, alone and with the residual addition before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fg_kernels.dispatch import choose
from fg_kernels.reference import normalization as plain
from fg_kernels.reference._operands import wide_dtype
from fg_kernels.reference.normalization import check_norm


def rms_norm(
    x: Tensor, weight: Tensor, *, eps: float = 1e-6, weight_offset: float = 0.0, backend: str = "auto"
) -> Tensor:
    """Return `x / sqrt(mean(x**2) + eps) * (weight + weight_offset)`; see `fg_kernels.reference.rms_norm`.

    Args:
        x: floating point (..., hidden); copied unless it is contiguous.
        weight: floating point (hidden,), of any width.
        eps: added to the mean square.
        weight_offset: added to the weight; Gemma stores its weights around zero and takes 1.0.
        backend: see `fg_kernels.dispatch`.

    Returns:
        Tensor of the shape and dtype of `x`.

    Raises:
        OperandError: operands that do not fit together.
        HyperparameterError: a negative `eps`.
        BackendError: `backend` was asked for and cannot do this.
    """
    check_norm(x, None, weight, eps)
    return _rms_norm(x, weight, eps, weight_offset, backend)[0]


def add_rms_norm(
    x: Tensor,
    residual: Tensor,
    weight: Tensor,
    *,
    eps: float = 1e-6,
    weight_offset: float = 0.0,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Return the normalised sum of `x` and `residual`, and the sum; see `fg_kernels.reference.add_rms_norm`.

    Args:
        x: floating point (..., hidden); copied unless it is contiguous.
        residual: same shape, dtype and device as `x`.
        weight: floating point (hidden,), of any width.
        eps: added to the mean square.
        weight_offset: added to the weight.
        backend: see `fg_kernels.dispatch`.

    Returns:
        Two tensors of the shape and dtype of `x`: `rms_norm(x + residual)` and `x + residual`.

    Raises:
        OperandError: operands that do not fit together.
        HyperparameterError: a negative `eps`.
        BackendError: `backend` was asked for and cannot do this.
    """
    check_norm(x, residual, weight, eps)
    out, total, _ = _add_rms_norm(x, residual, weight, eps, weight_offset, backend)
    return out, total


@torch.library.custom_op("fg_kernels::rms_norm", mutates_args=())
def _rms_norm(x: Tensor, weight: Tensor, eps: float, weight_offset: float, backend: str) -> tuple[Tensor, Tensor]:
    if choose("rms_norm", x, backend=backend) == "reference":
        return plain.normalized(x.contiguous(), weight, eps, weight_offset)
    from fg_kernels.triton import normalization as kernels

    out, _, scale = kernels.normalized(x.contiguous(), None, weight.contiguous(), eps, weight_offset)
    return out, scale


@torch.library.custom_op("fg_kernels::add_rms_norm", mutates_args=())
def _add_rms_norm(
    x: Tensor, residual: Tensor, weight: Tensor, eps: float, weight_offset: float, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    x, residual = x.contiguous(), residual.contiguous()
    if choose("add_rms_norm", x, backend=backend) == "reference":
        total = x + residual
        out, scale = plain.normalized(total, weight, eps, weight_offset)
        return out, total, scale
    from fg_kernels.triton import normalization as kernels

    return kernels.normalized(x, residual, weight.contiguous(), eps, weight_offset)


@torch.library.custom_op("fg_kernels::rms_norm_backward", mutates_args=())
def _norm_backward(
    grad: Tensor,
    grad_total: Tensor | None,
    total: Tensor,
    scale: Tensor,
    weight: Tensor,
    weight_offset: float,
    backend: str,
) -> tuple[Tensor, Tensor]:
    grad, total = grad.contiguous(), total.contiguous()
    grad_total = None if grad_total is None else grad_total.contiguous()
    if choose("rms_norm", total, backend=backend) == "reference":
        return plain.norm_gradients(grad, grad_total, total, scale, weight, weight_offset)
    from fg_kernels.triton import normalization as kernels

    return kernels.norm_gradients(grad, grad_total, total, scale, weight.contiguous(), weight_offset)


def _like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@_rms_norm.register_fake
def _(x: Tensor, weight: Tensor, eps: float, weight_offset: float, backend: str) -> tuple[Tensor, Tensor]:
    return _like(x), x.new_empty(x.shape[:-1], dtype=wide_dtype(x))


@_add_rms_norm.register_fake
def _(
    x: Tensor, residual: Tensor, weight: Tensor, eps: float, weight_offset: float, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    return _like(x), _like(x), x.new_empty(x.shape[:-1], dtype=wide_dtype(x))


@_norm_backward.register_fake
def _(
    grad: Tensor,
    grad_total: Tensor | None,
    total: Tensor,
    scale: Tensor,
    weight: Tensor,
    weight_offset: float,
    backend: str,
) -> tuple[Tensor, Tensor]:
    return _like(total), _like(weight)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, *_, weight, _eps, ctx.weight_offset, ctx.backend = inputs
    scale = output[-1]
    ctx.mark_non_differentiable(scale)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[1] if len(output) == 3 else x, scale, weight)


def _gradients(ctx: Any, grad: Tensor | None, grad_total: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of what was normalised, and of the weight."""
    if grad is None:
        return grad_total, None
    return _norm_backward(grad, grad_total, *ctx.saved_tensors, ctx.weight_offset, ctx.backend)


def _differentiate_norm(ctx: Any, grad: Tensor | None, _scale: None) -> tuple[Tensor | None, ...]:
    return *_gradients(ctx, grad, None), None, None, None


def _differentiate_add_norm(
    ctx: Any, grad: Tensor | None, grad_total: Tensor | None, _scale: None
) -> tuple[Tensor | None, ...]:
    change, of_weight = _gradients(ctx, grad, grad_total)
    return change, change, of_weight, None, None, None


_rms_norm.register_autograd(_differentiate_norm, setup_context=_save)
_add_rms_norm.register_autograd(_differentiate_add_norm, setup_context=_save)
