"""Logits to losses and, in the same memory, to the gradient of these losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from fg_kernels.errors import OperandError
from fg_kernels.reference.linear_cross_entropy import LossOptions, check_classes


class Losses(NamedTuple):
    """One row per target: its loss, and the logarithm of the sum of exponentials of its (capped) logits."""

    loss: Tensor
    normalizer: Tensor


Overwrite = Callable[[Tensor, Tensor, LossOptions, Tensor | None, Tensor | None], Losses]
"""`overwrite` below, or a kernel in its place."""


def cross_entropy_(
    logits: Tensor,
    target: Tensor,
    *,
    ignore_index: int = -100,
    softcap: float | None = None,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    logit_scale: float = 1.0,
) -> Losses:
    """Return the losses of `logits`, and turn these into the derivative of their own losses, in place.

    The arguments are those of `fg_kernels.functional.cross_entropy_`.
    """
    options = LossOptions(
        ignore_index=ignore_index,
        softcap=softcap,
        z_loss=z_loss,
        label_smoothing=label_smoothing,
        logit_scale=logit_scale,
    )
    check_cross_entropy(logits, target)
    check_classes(target, logits.shape[1], ignore_index)
    return overwrite(logits, target, options, None, logits)


def check_cross_entropy(logits: Tensor, target: Tensor) -> None:
    """Raise what `cross_entropy_` raises about shapes and dtypes."""
    if logits.ndim != 2 or target.shape != logits.shape[:1] or not logits.shape[1]:
        raise OperandError(
            f"expected logits (rows, vocabulary) and target (rows,); got {tuple(logits.shape)}, {tuple(target.shape)}"
        )
    if not logits.is_floating_point() or target.dtype != torch.int64:
        raise OperandError(f"logits must be floating point and target int64; got {logits.dtype}, {target.dtype}")
    if logits.device != target.device:
        raise OperandError(f"logits are on {logits.device}, target is on {target.device}; move one of them")
    rows, columns = logits.shape  # what there is but one of has a stride that means nothing
    if (columns > 1 and logits.stride(1) != 1) or (rows > 1 and logits.stride(0) < columns):
        raise OperandError(f"the logits of a row must lie side by side; got strides {logits.stride()}")
    if logits.requires_grad:
        raise OperandError("logits require a gradient, but they are overwritten by it; pass logits.detach()")


def overwrite(
    logits: Tensor, target: Tensor, options: LossOptions, factors: Tensor | None, gradient: Tensor | None
) -> Losses:
    """Return the losses of raw `logits` (rows, vocabulary), whose content is lost.

    `gradient` (None if unwanted, `logits` itself, or a tensor of another dtype) receives the derivative of the losses
    multiplied by `factors` (rows,), by default one.
    """
    counted = target != options.ignore_index
    index = torch.where(counted, target, 0)[:, None]  # any class: the loss of an ignored target is discarded
    wide = logits if logits.dtype.itemsize >= 4 else logits.float()
    slope = cap(wide, options, wants_slope=gradient is not None)
    picked = wide.gather(1, index).squeeze(1)
    mean = wide.mean(dim=1) if options.label_smoothing else picked
    peak = wide.amax(dim=1, keepdim=True)
    peak.masked_fill_(peak == -torch.inf, 0.0)  # of a row without a possible class: its sum is 0 then, and not NaN
    total = wide.sub_(peak).exp_().sum(dim=1)
    normalizer = total.log().add_(peak.squeeze(1))
    if gradient is not None:
        scale = counted.to(wide.dtype).mul_(options.logit_scale)
        if factors is not None:
            scale.mul_(factors)
        wide.mul_((scale * (1 + 2 * options.z_loss * normalizer) / total)[:, None])
        wide.scatter_add_(1, index, ((options.label_smoothing - 1) * scale)[:, None])
        if options.label_smoothing:
            wide.sub_((scale * (options.label_smoothing / wide.shape[1]))[:, None])
        if slope is not None:
            wide.mul_(slope)
        wide.masked_fill_(~counted[:, None], 0.0)
        if gradient is not wide:
            gradient.copy_(wide)
    loss = loss_of(normalizer, picked, mean, options)
    return Losses(loss.masked_fill_(~counted, 0.0), normalizer.masked_fill_(~counted, 0.0))


def cap(logits: Tensor, options: LossOptions, *, wants_slope: bool) -> Tensor | None:
    """Scale and cap `logits` in place; return the derivative of the cap where there is one and it is wanted."""
    if options.logit_scale != 1.0:
        logits.mul_(options.logit_scale)
    if options.softcap is None:
        return None
    logits.div_(options.softcap).tanh_()
    slope = logits.square().neg_().add_(1.0) if wants_slope else None
    logits.mul_(options.softcap)
    return slope


def loss_of(normalizer: Tensor, picked: Tensor, mean: Tensor, options: LossOptions) -> Tensor:
    """The losses (rows,), from the logit of the target and the mean of all logits."""
    expected = torch.lerp(picked, mean, options.label_smoothing) if options.label_smoothing else picked
    return normalizer - expected + options.z_loss * normalizer.square()
