"""Logits to losses and, in the same memory, to their gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from fg_kernels import reference
from fg_kernels.dispatch import choose
from fg_kernels.reference.cross_entropy import Losses, Overwrite, check_cross_entropy
from fg_kernels.reference.linear_cross_entropy import LossOptions, check_classes


def cross_entropy_(
    logits: Tensor,
    target: Tensor,
    *,
    ignore_index: int = -100,
    softcap: float | None = None,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    logit_scale: float = 1.0,
    backend: str = "auto",
) -> Losses:
    """Return the losses of `logits`, and turn these into the derivative of their own losses, in place.

    For a backward pass by hand: multiply row i by the derivative of the whole by loss i.

    Args:
        logits: (rows, vocabulary), neither scaled nor capped, the logits of a row side by side; fp32, bf16 or fp16
            (computed in fp32, rounded to nearest when stored), or fp64.
        target: int64 (rows,).
        ignore_index: targets with this value have loss, normalizer and gradient zero, whatever their logits are.
        softcap: logits become `softcap * tanh(logits / softcap)` (Gemma 2, arXiv 2408.00118).
        z_loss: adds `z_loss * logsumexp(logits)**2` per target (PaLM, arXiv 2204.02311).
        label_smoothing: in [0, 1), weight of the uniform distribution in the target.
        logit_scale: factor of the logits, applied before the soft cap.
        backend: see `fg_kernels.dispatch`.

    Returns:
        loss (rows,) and normalizer (rows,), the logsumexp of the capped logits; fp32, or fp64 for fp64 logits.

    Raises:
        OperandError: shapes, dtypes, strides or devices that do not fit; a target that is no class; logits that
            require a gradient. Nothing is written then. On a CUDA device targets are not read back: the loss of a
            target that is no class is NaN there, or, in plain torch, a device-side assertion.
        HyperparameterError: a number outside its range.
        BackendError: `backend` was asked for and cannot do this.
    """
    options = LossOptions(
        ignore_index=ignore_index,
        softcap=softcap,
        z_loss=z_loss,
        label_smoothing=label_smoothing,
        logit_scale=logit_scale,
    )
    check_cross_entropy(logits, target)
    return Losses(*_cross_entropy(logits, target, *as_arguments(options), backend))


@torch.library.custom_op("fg_kernels::cross_entropy_", mutates_args={"logits"})
def _cross_entropy(
    logits: Tensor,
    target: Tensor,
    ignore_index: int,
    softcap: float | None,
    z_loss: float,
    label_smoothing: float,
    logit_scale: float,
    backend: str,
) -> tuple[Tensor, Tensor]:
    options = LossOptions(
        ignore_index=ignore_index,
        softcap=softcap,
        z_loss=z_loss,
        label_smoothing=label_smoothing,
        logit_scale=logit_scale,
    )
    check_classes(target, logits.shape[1], ignore_index)
    overwrite = overwrite_by(choose("cross_entropy_", logits, backend=backend))
    return overwrite(logits, target, options, None, logits)


@_cross_entropy.register_fake
def _(logits: Tensor, target: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    wide = torch.promote_types(logits.dtype, torch.float32)
    return (logits.new_empty(target.shape, dtype=wide), logits.new_empty(target.shape, dtype=wide))


def overwrite_by(backend: str) -> Overwrite:
    """The function of a backend that turns logits into losses and gradient."""
    if backend == "reference":
        return reference.cross_entropy.overwrite
    from fg_kernels.triton import cross_entropy

    return cross_entropy.overwrite


def as_arguments(options: LossOptions) -> tuple[int, float | None, float, float, float]:
    """The options one by one, as operations of `torch.library` take them."""
    return (
        options.ignore_index,
        options.softcap,
        options.z_loss,
        options.label_smoothing,
        options.logit_scale,
    )
