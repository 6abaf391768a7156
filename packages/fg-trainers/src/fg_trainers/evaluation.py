"""Loss over a dataset, weighted by token."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from fg_trainers.data.loader import supervised_tokens
from fg_trainers.errors import DatasetError

if TYPE_CHECKING:
    from fg_trainers.interfaces import Batch, ParallelStrategy, TokenLoss


def require_tokens(batches: Iterable[Batch]) -> None:
    """Raises DatasetError when there is nothing to predict. Looks no further than the first token to predict."""
    if not any(supervised_tokens(batch) for batch in batches):
        raise DatasetError("the eval_dataset has no tokens to predict: every document is shorter than two tokens")


def evaluate(
    strategy: ParallelStrategy, loss: TokenLoss, batches: Iterable[Batch], *, max_batches: int | None = None
) -> dict[str, float]:
    """Sum of the loss over all tokens of all ranks, divided by their number.

    A mean of batch means would depend on the batch size and on the world size; this does not.

    Returns:
        eval_loss (nats per token), perplexity, eval_tokens, eval_runtime (seconds).

    Raises:
        DatasetError: no token was predicted.
    """
    began = time.perf_counter()
    total, count = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.int64)
    for batch in itertools.islice(batches, max_batches):
        part = strategy.evaluate(batch, loss)
        total, count = total + part.sum.double().cpu(), count + part.count.cpu()
    tokens = int(strategy.all_reduce(count, "sum"))
    if tokens == 0:
        raise DatasetError("the eval_dataset has no tokens to predict")
    mean = float(strategy.all_reduce(total, "sum")) / tokens
    return {
        "eval_loss": mean,
        "perplexity": math.exp(min(mean, 700.0)),
        "eval_tokens": tokens,
        "eval_runtime": time.perf_counter() - began,
    }
