"""Gated linear units."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from fg_kernels import _compat
from fg_kernels.dispatch import choose
from fg_kernels.errors import OperandError, check_option
from fg_kernels.reference import activation as plain
from fg_kernels.reference._operands import describe
from fg_kernels.reference.activation import APPROXIMATIONS, check_gated

_OPERATIONS = {"silu": "swiglu", "gelu": "geglu", "gelu_tanh": "geglu"}


def swiglu(gate: Tensor, up: Tensor | None = None, *, inplace_backward: bool = False, backend: str = "auto") -> Tensor:
    """Return `silu(gate) * up`; see `fg_kernels.reference.swiglu`.

    Only `gate` and `up` are kept for the backward pass, and the activation is computed again.

    Args:
        gate: floating point (..., intermediate); without `up`, gate and up side by side (..., 2 * intermediate). It
            is copied unless it is contiguous: pass a packed projection whole, not its halves.
        up: same shape, dtype and device as `gate`.
        inplace_backward: let the backward pass write the gradients over `gate` and `up`, which saves two tensors of
            their size. Nobody may read them afterwards: a second backward pass through them raises, and so does that
            of another operation that kept them, but a plain read finds gradients. Leaves, their views and tensors
            that are not contiguous are refused.
        backend: see `fg_kernels.dispatch`.

    Returns:
        (..., intermediate) in the dtype of `gate`.

    Raises:
        OperandError: operands that do not fit together, or that may not be overwritten.
        BackendError: `backend` was asked for and cannot do this.
    """
    return _public(gate, up, "silu", inplace_backward, backend)


def geglu(
    gate: Tensor,
    up: Tensor | None = None,
    *,
    approximate: str = "tanh",
    inplace_backward: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Return `gelu(gate) * up`; see `swiglu`.

    Args:
        gate: see `swiglu`.
        up: see `swiglu`.
        approximate: "none" for the error function, "tanh" for its usual approximation.
        inplace_backward: see `swiglu`.
        backend: see `fg_kernels.dispatch`.

    Returns:
        (..., intermediate) in the dtype of `gate`.

    Raises:
        OperandError: operands that do not fit together, or that may not be overwritten.
        UnknownOptionError: an approximation that does not exist.
        BackendError: `backend` was asked for and cannot do this.
    """
    check_option("approximate", approximate, APPROXIMATIONS)
    return _public(gate, up, APPROXIMATIONS[approximate], inplace_backward, backend)


def _public(gate: Tensor, up: Tensor | None, activation: str, inplace_backward: bool, backend: str) -> Tensor:
    parts = check_gated(gate, up)
    overwrite = inplace_backward and torch.is_grad_enabled() and any(part.requires_grad for part in parts)
    if overwrite:
        _check_overwritable(parts)
    return _gated(parts, activation, overwrite, backend)


def _check_overwritable(parts: Sequence[Tensor]) -> None:
    for part in parts:
        if not part.is_contiguous():
            raise OperandError(f"inplace_backward overwrites its operands; {describe(operand=part)} is not contiguous")
        if part.is_leaf or not (torch.compiler.is_compiling() or _compat.may_change_in_place(part)):
            raise OperandError(
                f"inplace_backward overwrites its operands; {describe(operand=part)} is a leaf, or a view of one, "
                "or a view that autograd protects"
            )


@torch.library.custom_op("fg_kernels::gated", mutates_args=())
def _gated(parts: list[Tensor], activation: str, inplace_backward: bool, backend: str) -> Tensor:
    if inplace_backward:
        _check_disjoint(parts)
    if choose(_OPERATIONS[activation], parts[0], backend=backend) == "reference":
        return plain.gated(parts, activation).contiguous()  # the product of permuted operands is permuted
    from fg_kernels.triton import activation as kernels

    return kernels.gated([part.contiguous() for part in parts], activation)


@torch.library.custom_op("fg_kernels::gated_backward", mutates_args=())
def _gated_backward(grad: Tensor, parts: list[Tensor], activation: str, backend: str) -> list[Tensor]:
    gradients = [torch.empty_like(part, memory_format=torch.contiguous_format) for part in parts]
    _write_gradients(grad, parts, activation, backend, gradients)
    return gradients


@torch.library.custom_op("fg_kernels::gated_backward_", mutates_args={"parts"})
def _gated_backward_(grad: Tensor, parts: list[Tensor], activation: str, backend: str) -> None:
    _write_gradients(grad, parts, activation, backend, parts)


def _write_gradients(
    grad: Tensor, parts: Sequence[Tensor], activation: str, backend: str, into: Sequence[Tensor]
) -> None:
    if choose(_OPERATIONS[activation], parts[0], backend=backend) == "reference":
        for target, gradient in zip(into, plain.gated_gradients(grad, parts, activation), strict=True):
            target.copy_(gradient)
        return
    from fg_kernels.triton import activation as kernels

    kernels.gated_gradients(grad.contiguous(), [part.contiguous() for part in parts], activation, into)


@_gated.register_fake
def _(parts: list[Tensor], activation: str, inplace_backward: bool, backend: str) -> Tensor:
    first = parts[0]
    width = first.shape[-1] // 2
    return first.new_empty(first.shape if len(parts) == 2 else (*first.shape[:-1], width))


@_gated_backward.register_fake
def _(grad: Tensor, parts: list[Tensor], activation: str, backend: str) -> list[Tensor]:
    return [torch.empty_like(part, memory_format=torch.contiguous_format) for part in parts]


@_gated_backward_.register_fake
def _(grad: Tensor, parts: list[Tensor], activation: str, backend: str) -> None:
    """Nothing but `parts` is written."""


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    parts, ctx.activation, ctx.inplace_backward, ctx.backend = inputs
    ctx.save_for_backward(*parts)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[list[Tensor], None, None, None]:
    parts = list(ctx.saved_tensors)
    if ctx.inplace_backward and not torch.is_grad_enabled():  # with create_graph the operands are still needed
        _gated_backward_(grad, parts, ctx.activation, ctx.backend)
    else:
        parts = _gated_backward(grad, parts, ctx.activation, ctx.backend)
    return parts, None, None, None


_gated.register_autograd(_differentiate, setup_context=_save)


def _check_disjoint(parts: Sequence[Tensor]) -> None:
    spans = sorted((part.data_ptr(), part.data_ptr() + part.nbytes) for part in parts)
    if any(end > start for (_, end), (start, _) in pairwise(spans)):
        raise OperandError("inplace_backward overwrites gate and up, which share memory here")
