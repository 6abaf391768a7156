"""Modules, and losses of a causal language model as (sum, count), to be normalised by the tokens of a whole update."""

from __future__ import annotations

from inspect import signature
from typing import cast

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F

from fg_kernels.backends import PEERS
from fg_kernels.dispatch import BACKENDS
from fg_kernels.errors import OperandError, check_option, check_range
from fg_kernels.functional import linear_cross_entropy
from fg_kernels.layers import RMSNorm, SwiGLU
from fg_kernels.reference.linear_cross_entropy import LossOptions, check_choices

__all__ = [
    "LinearCrossEntropyLoss",
    "RMSNorm",
    "SwiGLU",
    "causal_lm_loss",
]


class LinearCrossEntropyLoss:
    """Cross entropy straight from the hidden states, through a model's output embedding.

    It owns no parameters (those of the output embedding are read at each call, so tying or replacing them is seen)
    and is therefore not an `nn.Module`.

    Args:
        output_embeddings: module with `weight` (vocabulary, hidden) and perhaps `bias` (vocabulary,).
        ignore_index: label of positions that are not supervised.
        shift: labels are unshifted; the label of position t is `labels[:, t + shift]`.
        softcap: see `fg_kernels.functional.linear_cross_entropy`, like the following.
        z_loss: see there.
        label_smoothing: see there.
        logit_scale: see there.
        mode: see there.
        budget_mib: see there.
        acc_dtype: see there.
        logits_dtype: see there.
        backend: see there.

    Raises:
        KernelError: `output_embeddings` has no two-dimensional weight, a name does not exist, or a number or dtype does
            not fit.
    """

    def __init__(
        self,
        output_embeddings: Module,
        *,
        ignore_index: int = -100,
        shift: int = 1,
        softcap: float | None = None,
        z_loss: float = 0.0,
        label_smoothing: float = 0.0,
        logit_scale: float = 1.0,
        mode: str = "auto",
        budget_mib: float | None = None,
        acc_dtype: torch.dtype = torch.float32,
        logits_dtype: torch.dtype | None = None,
        backend: str = "auto",
    ) -> None:
        LossOptions(
            ignore_index=ignore_index,
            softcap=softcap,
            z_loss=z_loss,
            label_smoothing=label_smoothing,
            logit_scale=logit_scale,
        )
        check_choices(reduction="sum", mode=mode, acc_dtype=acc_dtype, logits_dtype=logits_dtype)
        check_option("backend", backend, (*BACKENDS, *PEERS))
        check_range("shift", shift, 0)
        check_range("budget_mib", 0.0 if budget_mib is None else budget_mib, 0.0)
        weight = getattr(output_embeddings, "weight", None)
        if not isinstance(weight, Tensor) or weight.ndim != 2:
            kind = type(output_embeddings).__name__
            raise OperandError(f"output_embeddings must have a weight (vocabulary, hidden); {kind} has {weight!r:.80}")
        self.output_embeddings = output_embeddings
        self.ignore_index = ignore_index
        self.shift = shift
        self.softcap = softcap
        self.z_loss = z_loss
        self.label_smoothing = label_smoothing
        self.logit_scale = logit_scale
        self.mode = mode
        self.budget_mib = budget_mib
        self.acc_dtype = acc_dtype
        self.logits_dtype = logits_dtype
        self.backend = backend

    def __repr__(self) -> str:
        """The weight's shape, and the options that are not at their defaults."""
        shape = tuple(self._weight_and_bias()[0].shape)
        options = list(signature(LinearCrossEntropyLoss).parameters.values())[1:]
        given = ((option.name, getattr(self, option.name), option.default) for option in options)
        changed = "".join(f", {name}={value!r}" for name, value, default in given if value != default)
        return f"{type(self).__name__}({type(self.output_embeddings).__name__} {shape}{changed})"

    def __call__(self, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed loss and the number of supervised tokens.

        Args:
            hidden: (batch, seq, hidden), the input of the output embedding.
            labels: int64 (batch, seq), unshifted.

        Returns:
            Sum (0-d, fp32 or wider; with another library as `backend`, in the dtype of its choice) and count (0-d,
            int64).
        """
        weight, bias = self._weight_and_bias()
        loss = linear_cross_entropy(
            hidden,
            weight,
            labels,
            bias=bias,
            shift=self.shift,
            ignore_index=self.ignore_index,
            reduction="sum",
            softcap=self.softcap,
            z_loss=self.z_loss,
            label_smoothing=self.label_smoothing,
            logit_scale=self.logit_scale,
            mode=self.mode,
            budget_mib=self.budget_mib,
            acc_dtype=self.acc_dtype,
            logits_dtype=self.logits_dtype,
            backend=self.backend,
        )
        return loss, (labels[..., self.shift :] != self.ignore_index).sum()

    def forward_logits(self, hidden: Tensor) -> Tensor:
        """Return the logits (..., vocabulary) of `hidden` (..., hidden), scaled and capped as in the loss."""
        weight, bias = self._weight_and_bias()
        logits = F.linear(hidden, weight, bias)
        if self.logit_scale != 1.0:
            logits = logits * self.logit_scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def _weight_and_bias(self) -> tuple[Tensor, Tensor | None]:
        weight = cast(Tensor, self.output_embeddings.weight)
        return weight, cast("Tensor | None", getattr(self.output_embeddings, "bias", None))


def causal_lm_loss(
    logits: Tensor, labels: Tensor, *, ignore_index: int = -100, shift: int = 1
) -> tuple[Tensor, Tensor]:
    """Return the summed cross entropy of full logits and the number of supervised tokens.

    Args:
        logits: (batch, seq, vocabulary).
        labels: int64 (batch, seq), unshifted: the label of position t is `labels[:, t + shift]`.
        ignore_index: label of positions that are not supervised.
        shift: distance between a position and its label.

    Returns:
        Sum (0-d, fp32 or wider) and count (0-d, int64).

    Raises:
        OperandError: the shapes do not fit together.
    """
    if logits.shape[:-1] != labels.shape or not 0 <= shift <= labels.shape[-1]:
        raise OperandError(f"logits {tuple(logits.shape)} do not fit labels {tuple(labels.shape)} shifted by {shift}")
    targets = labels[..., shift:]
    scores = logits[..., : logits.shape[-2] - shift, :].flatten(0, -2)
    wide = scores.to(torch.promote_types(scores.dtype, torch.float32))
    loss = F.cross_entropy(wide, targets.flatten(), ignore_index=ignore_index, reduction="sum")
    return loss, (targets != ignore_index).sum()
