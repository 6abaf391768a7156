"""Rotary position embedding, in place and out of place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fg_kernels import _compat
from fg_kernels.dispatch import choose
from fg_kernels.errors import OperandError
from fg_kernels.reference import rotary as plain
from fg_kernels.reference._operands import describe
from fg_kernels.reference.rotary import check_positions, check_rope


def rope(
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    *,
    position_ids: Tensor | None = None,
    interleaved: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Return `x` with its first `2 * pairs` features rotated; see `fg_kernels.reference.rope`.

    Args:
        x: floating point (batch, heads, seq, head_dim), of any strides; (batch, seq, heads, head_dim) is passed as
            `x.transpose(1, 2)` and costs nothing.
        cos: (positions, pairs) with `2 * pairs <= head_dim`, best in fp32; no gradient reaches it.
        sin: same shape and dtype as `cos`.
        position_ids: int64 (batch, seq) or (1, seq), the row of `cos` and `sin` for each token, as packed documents
            need it; by default a token's place in the sequence. A row that does not exist is an error on a CPU and
            gives NaN on CUDA, where looking would make the host wait.
        interleaved: pairs are neighbours (GPT-J) instead of halves (GPT-NeoX, Llama).
        backend: see `fg_kernels.dispatch`.

    Returns:
        Tensor of the shape and dtype of `x`.

    Raises:
        OperandError: operands that do not fit together.
        BackendError: `backend` was asked for and cannot do this.
    """
    check_rope(x, cos, sin, position_ids)
    return _rope(x, cos, sin, position_ids, interleaved, False, backend)


def rope_(
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    *,
    position_ids: Tensor | None = None,
    interleaved: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Rotate `x` in place; see `rope`.

    Autograd follows as through any operation in place: what was computed from `x` before keeps its gradient, unless
    it needs the value of `x` for that. A view is allowed, but autograd then copies the gradient of the whole it
    belongs to; `rope` does not. Under `torch.compile` it is `rope` and a copy, which the compiler may join.

    Args:
        x: see `rope`; no leaf that requires a gradient, and no view that autograd protects (of `chunk`, `unbind`).
        cos: see `rope`.
        sin: see `rope`.
        position_ids: see `rope`.
        interleaved: see `rope`.
        backend: see `fg_kernels.dispatch`.

    Returns:
        `x`.

    Raises:
        OperandError: operands that do not fit together, or an `x` that may not be changed; nothing is written.
        BackendError: `backend` was asked for and cannot do this.
    """
    check_rope(x, cos, sin, position_ids)
    if torch.compiler.is_compiling():
        return x.copy_(_rope(x, cos, sin, position_ids, interleaved, False, backend))
    _check_changeable(x)
    if torch.is_grad_enabled() and x.requires_grad:
        return _RopeInPlace.apply(x, cos, sin, position_ids, interleaved, False, backend)
    _rope_(x, cos, sin, position_ids, interleaved, False, backend)
    return x


def _check_changeable(x: Tensor) -> None:
    if any(stride == 0 and size > 1 for stride, size in zip(x.stride(), x.shape, strict=True)):
        raise OperandError(f"rope_ cannot change an expanded tensor in place: {describe(x=x)}; use rope")
    if torch.is_grad_enabled() and x.requires_grad and not _compat.may_change_in_place(x):
        raise OperandError(f"autograd forbids to change this leaf or view in place: {describe(x=x)}; use rope")


@torch.library.custom_op("fg_kernels::rope", mutates_args=())
def _rope(
    x: Tensor, cos: Tensor, sin: Tensor, position_ids: Tensor | None, interleaved: bool, inverse: bool, backend: str
) -> Tensor:
    out = torch.empty_like(x)
    rest = 2 * cos.shape[1]
    out[..., rest:] = x[..., rest:]
    _rotate_into(out, x, cos, sin, position_ids, interleaved, inverse, "rope", backend)
    return out


@torch.library.custom_op("fg_kernels::rope_", mutates_args={"x"})
def _rope_(
    x: Tensor, cos: Tensor, sin: Tensor, position_ids: Tensor | None, interleaved: bool, inverse: bool, backend: str
) -> None:
    _rotate_into(x, x, cos, sin, position_ids, interleaved, inverse, "rope_", backend)


def _rotate_into(
    dst: Tensor,
    src: Tensor,
    cos: Tensor,
    sin: Tensor,
    position_ids: Tensor | None,
    interleaved: bool,
    inverse: bool,
    op: str,
    backend: str,
) -> None:
    check_positions(position_ids, cos)
    if choose(op, src, backend=backend) == "reference":
        dst.copy_(plain.rotated(src, cos, sin, position_ids, interleaved=interleaved, inverse=inverse))
        return
    from fg_kernels.triton import rotary as kernels

    places = None if position_ids is None else position_ids.expand(src.shape[0], -1).contiguous()
    source = src if src.stride(-1) == 1 else src.contiguous()
    target = dst if dst.stride(-1) == 1 else dst.contiguous()
    kernels.rotate_into(
        target, source, cos.contiguous(), sin.contiguous(), places, interleaved=interleaved, inverse=inverse
    )
    if target is not dst:
        dst.copy_(target)


@_rope.register_fake
def _(
    x: Tensor, cos: Tensor, sin: Tensor, position_ids: Tensor | None, interleaved: bool, inverse: bool, backend: str
) -> Tensor:
    return torch.empty_like(x)


@_rope_.register_fake
def _(
    x: Tensor, cos: Tensor, sin: Tensor, position_ids: Tensor | None, interleaved: bool, inverse: bool, backend: str
) -> None:
    """Nothing but `x` is written."""


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, cos, sin, position_ids, *ctx.options = inputs
    ctx.save_for_backward(cos, sin, position_ids)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    interleaved, inverse, backend = ctx.options
    return _rope(grad, *ctx.saved_tensors, interleaved, not inverse, backend), *(None,) * 6


_rope.register_autograd(_differentiate, setup_context=_save)


class _RopeInPlace(torch.autograd.Function):
    """`_rope_` with its derivative: `torch.library` gives none to operations that mutate."""

    @staticmethod
    def forward(*args: Any, **_: Any) -> Tensor:
        _rope_(*args)
        return args[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.mark_dirty(inputs[0])
        _save(ctx, inputs, output)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return _differentiate(ctx, *grad_outputs)
