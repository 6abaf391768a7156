"""Losses of a causal language model as (sum, count), ready to be normalised by the tokens of a whole update."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F

from fg_kernels.errors import OperandError
from fg_kernels.functional import linear_cross_entropy

__all__ = [
    "LinearCrossEntropyLoss",
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
        backend: see there.

    Raises:
        OperandError: `output_embeddings` has no two-dimensional weight.
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
        backend: str = "auto",
    ) -> None:
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
        self.backend = backend

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
