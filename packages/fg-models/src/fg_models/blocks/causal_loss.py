"""Next-token cross entropy."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def causal_loss(logits: Tensor, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
    """Mean cross entropy in fp32 of predicting labels[:, t + 1] from logits[:, t]; a scalar.

    Args:
        logits: (batch, seq, vocab)
        labels: (batch, seq), the input ids themselves, -100 where nothing is to be learned
        num_items_in_batch: divide the sum by this instead of by the number of labels here (gradient accumulation)
    """
    targets = F.pad(labels[:, 1:], (0, 1), value=-100)
    reduction = "mean" if num_items_in_batch is None else "sum"
    loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100, reduction=reduction)
    return loss if num_items_in_batch is None else loss / num_items_in_batch
