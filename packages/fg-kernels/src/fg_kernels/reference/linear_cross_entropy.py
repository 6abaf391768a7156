"""The cross entropy of a linear layer over its full logits: the definition that the sparing versions are held to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fg_kernels.errors import HyperparameterError, OperandError, check_option, check_range

MODES = ("auto", "fast", "tiny")
REDUCTIONS = ("mean", "sum", "none")
ACCUMULATIONS = (torch.float32, torch.float64)
LOGITS = (None, torch.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class LossOptions:
    """What the loss of one target is, given its logits.

    Attributes:
        ignore_index: targets with this value neither count nor receive a gradient.
        softcap: logits become `softcap * tanh(logits / softcap)` (Gemma 2, arXiv 2408.00118); None turns it off.
        z_loss: adds `z_loss * logsumexp(logits)**2` per target (PaLM, arXiv 2204.02311).
        label_smoothing: in [0, 1), weight of the uniform distribution in the target.
        logit_scale: factor of the logits, applied before the soft cap.

    Raises:
        HyperparameterError: a number outside its range.
    """

    ignore_index: int = -100
    softcap: float | None = None
    z_loss: float = 0.0
    label_smoothing: float = 0.0
    logit_scale: float = 1.0

    def __post_init__(self) -> None:
        check_range("label_smoothing", self.label_smoothing, 0.0, 1.0)
        check_range("z_loss", self.z_loss, 0.0, math.inf)
        if not -math.inf < self.logit_scale < math.inf:
            raise HyperparameterError(f"logit_scale={self.logit_scale!r} must be finite")
        if self.softcap is not None and not 0 < self.softcap < math.inf:
            raise HyperparameterError(f"softcap={self.softcap!r} must be positive and finite; None turns it off")


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    *,
    bias: Tensor | None = None,
    shift: int = 0,
    ignore_index: int = -100,
    reduction: str = "mean",
    softcap: float | None = None,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    logit_scale: float = 1.0,
    mode: str = "auto",
    budget_mib: float | None = None,
    acc_dtype: torch.dtype = torch.float32,
    logits_dtype: torch.dtype | None = None,
) -> Tensor:
    """Return the cross entropy of `logit_scale * (x @ weight.T + bias)` against `target`, by way of all logits.

    `mode` and `budget_mib` are taken and change nothing, nor does `logits_dtype`: here logits have the dtype of the
    losses, `acc_dtype` or wider. The other arguments, the result and the errors are those of
    `fg_kernels.functional.linear_cross_entropy`.
    """
    options = LossOptions(
        ignore_index=ignore_index,
        softcap=softcap,
        z_loss=z_loss,
        label_smoothing=label_smoothing,
        logit_scale=logit_scale,
    )
    check_choices(reduction=reduction, mode=mode, acc_dtype=acc_dtype, logits_dtype=logits_dtype)
    check_linear_cross_entropy(x, weight, target, bias, shift=shift)
    check_classes(target, weight.shape[0], ignore_index)
    wide = torch.promote_types(acc_dtype, torch.promote_types(x.dtype, weight.dtype))
    targets = shift_left(target, shift, ignore_index)
    # What stands at an ignored position may be NaN, and no product with zero gets rid of that.
    known = x.masked_fill((targets == ignore_index)[..., None], 0.0)
    logits = F.linear(known.to(wide), weight.to(wide), None if bias is None else bias.to(wide))
    losses = _losses(logits.flatten(0, -2), targets.flatten(), options)
    return reduced(losses, targets, shift, reduction, ignore_index)


def _losses(logits: Tensor, target: Tensor, options: LossOptions) -> Tensor:
    logits = logits * options.logit_scale
    if options.softcap is not None:
        logits = options.softcap * torch.tanh(logits / options.softcap)
    losses = F.cross_entropy(
        logits,
        target,
        ignore_index=options.ignore_index,
        label_smoothing=options.label_smoothing,
        reduction="none",
    )
    penalty = options.z_loss * logits.logsumexp(dim=-1).square()
    return losses + penalty.masked_fill(target == options.ignore_index, 0.0)


def reduced(losses: Tensor, targets: Tensor, shift: int, reduction: str, ignore_index: int) -> Tensor:
    """Reduce the losses of all positions, or give them the shape of the targets that remain after the shift.

    `losses` may be their sum already, unless `reduction` is "none".
    """
    if reduction == "none":
        return losses.view(targets.shape)[..., : targets.shape[-1] - shift]
    total = losses.sum()
    return total / (targets != ignore_index).sum() if reduction == "mean" else total


def shift_left(target: Tensor, shift: int, ignore_index: int) -> Tensor:
    """Move targets instead of slicing `x`, which would copy it."""
    if shift == 0:
        return target
    padding = target.new_full((*target.shape[:-1], shift), ignore_index)
    return torch.cat((target[..., shift:], padding), dim=-1)


def check_choices(*, reduction: str, mode: str, acc_dtype: torch.dtype, logits_dtype: torch.dtype | None) -> None:
    """Raise what `linear_cross_entropy` raises about choices that do not depend on the operands."""
    check_option("reduction", reduction, REDUCTIONS)
    check_option("mode", mode, MODES)
    if acc_dtype not in ACCUMULATIONS:
        raise OperandError(f"acc_dtype={acc_dtype} must be torch.float32 or torch.float64: narrower sums lose digits")
    if logits_dtype not in LOGITS:
        raise OperandError(
            f"logits_dtype={logits_dtype} must be torch.float32, or None for logits as narrow as the operands where a "
            "kernel computes"
        )


def check_linear_cross_entropy(x: Tensor, weight: Tensor, target: Tensor, bias: Tensor | None, *, shift: int) -> None:
    """Raise what `linear_cross_entropy` raises about shapes, dtypes and devices."""
    shapes = f"x {tuple(x.shape)}, weight {tuple(weight.shape)}, target {tuple(target.shape)}"
    if weight.ndim != 2 or x.ndim < 2 or x.shape[-1] != weight.shape[1] or x.shape[:-1] != target.shape:
        raise OperandError(f"expected x (..., hidden), weight (vocabulary, hidden), target (...); got {shapes}")
    if 0 in weight.shape:
        raise OperandError(f"the vocabulary and the hidden size must be at least 1; got {shapes}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise OperandError(f"expected bias ({weight.shape[0]},), got {tuple(bias.shape)}")
    if not 0 <= shift <= target.shape[-1]:
        raise OperandError(f"shift={shift} does not fit into a sequence; got {shapes}")
    _check_kinds(x, weight, target, bias)


def _check_kinds(x: Tensor, weight: Tensor, target: Tensor, bias: Tensor | None) -> None:
    given = [tensor for tensor in (x, weight, target, bias) if tensor is not None]
    floating = all(tensor.is_floating_point() for tensor in (x, weight, bias) if tensor is not None)
    if not floating or target.dtype != torch.int64:
        dtypes = ", ".join(str(tensor.dtype) for tensor in given)
        raise OperandError(f"x, weight and bias must be floating point and target int64; got {dtypes}")
    if len({tensor.device for tensor in given}) > 1:
        raise OperandError(f"the operands are on {', '.join(str(tensor.device) for tensor in given)}; move them")


def check_classes(target: Tensor, vocabulary: int, ignore_index: int) -> None:
    """Raise unless every target is a class or ignored; on a CUDA device, which would have to be waited for, do not."""
    if target.is_cuda:
        return
    wrong = target[(target != ignore_index) & ((target < 0) | (target >= vocabulary))]
    if wrong.numel():
        raise OperandError(
            f"target {wrong[0].item()} (and {wrong.numel() - 1} more) is neither a class, 0 to {vocabulary - 1}, "
            f"nor ignore_index={ignore_index}"
        )
