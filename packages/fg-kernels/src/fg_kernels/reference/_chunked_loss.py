"""The loop over chunks of tokens, and the two ways autograd can enter it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that is the same for all chunks.

    `operand` is the dtype of what is multiplied, `accumulate` that of logits, losses and the weight gradient.
    """

    rows: int
    operand: torch.dtype
    accumulate: torch.dtype
    ignore_index: int
    softcap: float | None
    z_loss: float
    label_smoothing: float
    logit_scale: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gradients:
    """Where a pass leaves the gradients; None for those nobody asked for."""

    x: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


def chunked_loss(
    x: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, recipe: Recipe, *, per_target: bool
) -> Tensor:
    """Return the losses (tokens,) of `x` (tokens, hidden) against `target` (tokens,), or their sum."""
    wanted = any(tensor.requires_grad for tensor in (x, weight, bias) if tensor is not None)
    with torch.autocast(x.device.type, enabled=False):
        if not (wanted and torch.is_grad_enabled()):
            losses = _run(x, weight, bias, target, recipe)
            return losses if per_target else losses.sum()
        function = _LossPerTarget if per_target else _LossSum
        return cast(Tensor, function.apply(x, weight, bias, target, recipe))


class _LossSum(torch.autograd.Function):
    """The sum: its gradient is known up to one factor, so the forward pass forms it."""

    @staticmethod
    # pyrefly: ignore[bad-override]  # torch declares (*args, **kwargs)
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, recipe: Recipe) -> Tensor:
        gradients = _allocate(x, weight, bias, ctx.needs_input_grad, recipe)
        losses = _run(x, weight, bias, target, recipe, gradients=gradients)
        ctx.save_for_backward(gradients.x, gradients.weight, gradients.bias)
        ctx.dtypes = (x.dtype, weight.dtype, None if bias is None else bias.dtype)
        return losses.sum()

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]  # torch declares (ctx, *grad_outputs)
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (
            None if g is None else (g * factor).to(dtype)
            for g, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        )
        return (*scaled, None, None)


class _LossPerTarget(torch.autograd.Function):
    """One loss per target: their factors are unknown until the backward pass, which computes the logits again."""

    @staticmethod
    # pyrefly: ignore[bad-override]  # torch declares (*args, **kwargs)
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, recipe: Recipe) -> Tensor:
        ctx.save_for_backward(x, weight, bias, target)
        ctx.recipe = recipe
        return _run(x, weight, bias, target, recipe)

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]  # torch declares (ctx, *grad_outputs)
    def backward(ctx: Any, factors: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, target = ctx.saved_tensors
        gradients = _allocate(x, weight, bias, ctx.needs_input_grad, ctx.recipe)
        with torch.autocast(x.device.type, enabled=False):
            _run(x, weight, bias, target, ctx.recipe, gradients=gradients, factors=factors)
        pairs = ((gradients.x, x), (gradients.weight, weight), (gradients.bias, bias))
        return (*(None if g is None else g.to(like.dtype) for g, like in pairs), None, None)


def _allocate(x: Tensor, weight: Tensor, bias: Tensor | None, needed: tuple[bool, ...], recipe: Recipe) -> _Gradients:
    return _Gradients(
        x=torch.empty_like(x) if needed[0] else None,
        weight=torch.zeros_like(weight, dtype=recipe.accumulate) if needed[1] else None,
        bias=torch.zeros_like(bias, dtype=recipe.accumulate) if bias is not None and needed[2] else None,
    )


def _run(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    recipe: Recipe,
    *,
    gradients: _Gradients | None = None,
    factors: Tensor | None = None,
) -> Tensor:
    """Return the losses (tokens,), zero where ignored, and fill `gradients` with those of their weighted sum.

    `factors` (tokens,) are the weights of that sum, one by default.
    """
    weight = weight.detach().to(recipe.operand)
    counted = target != recipe.ignore_index
    # An ignored target needs some valid class to look up; its loss is discarded and its gradient multiplied by zero.
    classes = torch.where(counted, target, 0)
    losses = torch.empty(target.shape, dtype=recipe.accumulate, device=x.device)
    scale = counted.to(recipe.accumulate) if factors is None else counted * factors.to(recipe.accumulate)
    for start in range(0, target.numel(), recipe.rows):
        rows = slice(start, start + recipe.rows)
        chunk = x[rows].detach().to(recipe.operand)
        logits = _logits(chunk, weight, bias, recipe)
        losses[rows] = _consume(logits, classes[rows], recipe, wants_gradient=gradients is not None)
        if gradients is not None:
            _accumulate(gradients, logits, chunk, weight, scale[rows], rows, recipe)
    return losses.masked_fill_(~counted, 0.0)  # not a product: the hidden state of a masked position may be NaN


def _logits(x: Tensor, weight: Tensor, bias: Tensor | None, recipe: Recipe) -> Tensor:
    """Return (rows, vocabulary) in the accumulation dtype, scaled but not yet capped."""
    if recipe.operand == recipe.accumulate:
        logits = x @ weight.t()
    else:
        logits = torch.mm(x, weight.t(), out_dtype=recipe.accumulate)
    if bias is not None:
        logits.add_(bias.detach())
    return logits if recipe.logit_scale == 1.0 else logits.mul_(recipe.logit_scale)


def _consume(logits: Tensor, classes: Tensor, recipe: Recipe, *, wants_gradient: bool) -> Tensor:
    """Return the losses (rows,) of raw `logits` and overwrite these with their gradient if it is wanted."""
    slope = None
    if recipe.softcap is not None:
        logits.div_(recipe.softcap).tanh_()
        slope = 1 - logits.square() if wants_gradient else None
        logits.mul_(recipe.softcap)
    index = classes[:, None]
    picked = logits.gather(1, index).squeeze(1)
    logp = torch.log_softmax(logits, dim=-1)
    log_normalizer = picked - logp.gather(1, index).squeeze(1)
    loss = log_normalizer - picked
    if recipe.label_smoothing:
        loss = loss.lerp_(-logp.mean(dim=-1), recipe.label_smoothing)
    if recipe.z_loss:
        loss = loss.add_(log_normalizer.square(), alpha=recipe.z_loss)
    if wants_gradient:
        _overwrite_with_gradient(logits, logp, index, log_normalizer, recipe)
        if slope is not None:
            logits.mul_(slope)
    return loss


def _overwrite_with_gradient(
    logits: Tensor, logp: Tensor, index: Tensor, log_normalizer: Tensor, recipe: Recipe
) -> None:
    """Turn `logits` into the derivative of the loss with respect to them (before the soft cap's slope)."""
    torch.exp(logp, out=logits)
    if recipe.z_loss:
        logits.mul_(1 + 2 * recipe.z_loss * log_normalizer[:, None])
    smoothing = recipe.label_smoothing
    logits.scatter_add_(1, index, torch.full_like(index, smoothing - 1.0, dtype=logits.dtype))
    if smoothing:
        logits.sub_(smoothing / logits.shape[1])


def _accumulate(
    gradients: _Gradients,
    dlogits: Tensor,
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    rows: slice,
    recipe: Recipe,
) -> None:
    """Add one chunk; `scale` is applied to the operands (rows, hidden), which are narrower than the logits."""
    factor = scale * recipe.logit_scale
    if gradients.bias is not None:
        gradients.bias.addmv_(dlogits.t(), factor)
    narrow = dlogits.to(recipe.operand)
    if gradients.x is not None:
        gradients.x[rows] = (narrow @ weight).mul_(factor[:, None])
    if gradients.weight is not None:
        scaled = (x * factor[:, None]).to(recipe.operand)
        if recipe.operand == recipe.accumulate:
            gradients.weight.addmm_(narrow.t(), scaled)
        else:
            torch.addmm(gradients.weight, narrow.t(), scaled, out_dtype=recipe.accumulate, out=gradients.weight)
