"""Sums between two log records, and the arithmetic of a model."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fg_trainers.interfaces import LossSum

if TYPE_CHECKING:
    from fg_trainers.interfaces import ParallelStrategy


class LogWindow:
    """Loss, tokens and gradient norms since the last log record.

    The sums stay on the device until `summary()`, so that no update waits for them. They are part of a checkpoint: a
    run that is resumed between two records logs the same numbers as one that was never stopped.
    """

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._loss: Tensor | float = 0.0
        self._tokens: Tensor | int = 0
        self._squared_norms: Tensor | float = 0.0
        self._largest_norm: Tensor | float = 0.0
        self._updates = 0

    def add(self, loss: LossSum, grad_norm: Tensor) -> None:
        """Account for one update; `loss` is this process's part of it."""
        wide = torch.float32 if grad_norm.device.type == "mps" else torch.float64  # MPS has no float64
        norm = grad_norm.detach().to(wide)
        self._loss = self._loss + loss.sum.detach().to(wide)
        self._tokens = self._tokens + loss.count
        self._squared_norms = self._squared_norms + norm.square()
        self._largest_norm = torch.maximum(norm, torch.as_tensor(self._largest_norm, dtype=norm.dtype).to(norm.device))
        self._updates += 1

    def summary(self, strategy: ParallelStrategy) -> dict[str, Any]:
        """Mean loss per token, RMS and largest gradient norm over the window and all ranks; starts a new window."""
        loss = strategy.all_reduce(torch.as_tensor(self._loss, dtype=torch.float64), "sum").item()
        tokens = int(strategy.all_reduce(torch.as_tensor(self._tokens), "sum").item())
        logs = {
            "loss": loss / tokens if tokens else float("nan"),
            "grad_norm": (float(self._squared_norms) / max(1, self._updates)) ** 0.5,
            "max_grad_norm": float(self._largest_norm),
            "tokens": tokens,
        }
        self._clear()
        return logs

    def state_dict(self) -> dict[str, Any]:
        """The sums as plain numbers."""
        return {
            "loss": float(self._loss),
            "tokens": int(self._tokens),
            "squared_norms": float(self._squared_norms),
            "largest_norm": float(self._largest_norm),
            "updates": self._updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with saved sums."""
        self._loss, self._tokens = state["loss"], state["tokens"]
        self._squared_norms, self._largest_norm = state["squared_norms"], state["largest_norm"]
        self._updates = state["updates"]


@dataclass(slots=True)
class RateMeter:
    """Wall-clock rates of this process's part of the run, without the first `warmup` updates."""

    warmup: int
    began: float = field(default_factory=time.perf_counter)
    updates: int = 0
    tokens: int = 0
    _since: float | None = None
    _counted: int = 0

    def add(self, tokens: int) -> None:
        """Account for one update of `tokens` supervised tokens over all ranks."""
        self.updates += 1
        if self.updates <= self.warmup:
            self._since = time.perf_counter()
            return
        if self._since is None:
            self._since = self.began
        self.tokens += tokens
        self._counted += 1

    def summary(self) -> dict[str, float]:
        """Runtime in seconds, and updates and tokens per second; rates are absent when nothing was counted."""
        now = time.perf_counter()
        metrics = {"train_runtime": now - self.began}
        if self._counted and self._since is not None:
            metrics["train_steps_per_second"] = self._counted / (now - self._since)
            metrics["tokens_per_second"] = self.tokens / (now - self._since)
        return metrics


class FlopsPerToken:
    """Floating-point operations of forward and backward per token, without recomputation.

    6 per matmul parameter (2 forward, 4 backward; Kaplan et al., 2020, arXiv:2001.08361) plus 12 · layers · hidden ·
    attended length for attention, whose causal average is half the sequence. The input embedding is a lookup and counts
    only when it is also the output projection. Packed documents attend to themselves only, which is not subtracted.
    Without a config that names its sizes the attention term is left out.
    """

    def __init__(self, model: nn.Module) -> None:
        lookup = getattr(model, "get_input_embeddings", lambda: None)()
        head = getattr(model, "get_output_embeddings", lambda: None)()
        parameters = sum(p.numel() for p in model.parameters())
        if lookup is not None and head is not None and lookup.weight is not head.weight:
            parameters -= lookup.weight.numel()
        config = getattr(model, "config", None)
        self._matmul = 6.0 * parameters
        self._attention = 12.0 * getattr(config, "num_hidden_layers", 0) * getattr(config, "hidden_size", 0) / 2

    def __call__(self, sequence_length: int) -> float:
        return self._matmul + self._attention * sequence_length
