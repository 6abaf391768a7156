"""Learning-rate schedules, stepped once per update."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from fg_trainers.errors import ArgumentsError


def apply_rates(scheduler: LRScheduler, rates: list[float | Tensor]) -> None:
    """Put the rates of the scheduler's position into its optimizer."""
    scheduler._last_lr = rates
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


class WSDScheduler(LRScheduler):
    """Warm-up, stable, decay (Hu et al., MiniCPM, 2024, arXiv:2404.06395).

    The rate rises linearly over `warmup_steps`, stays, and from `decay_start_step` falls to `min_lr` within
    `decay_steps` so that 1/lr is linear in the step. `start_decay=True` on a resumed run begins the decay where the
    checkpoint stopped, or goes on with a decay already begun. `min_lr`, `decay_steps` and `start_decay` always come
    from the config, never from a checkpoint, so that a cool-down can be started from any checkpoint.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int = 0,
        min_lr: float = 1e-8,
        decay_steps: int = 1,
        decay_start_step: int = -1,
        start_decay: bool = False,
    ) -> None:
        if decay_steps < 1 or warmup_steps < 0 or min_lr <= 0:
            raise ArgumentsError(
                "WSD needs decay_steps >= 1, warmup_steps >= 0 and min_lr > 0, "
                f"not {decay_steps}, {warmup_steps}, {min_lr}"
            )
        self.warmup_steps = warmup_steps
        self.min_lr = min_lr
        self.decay_steps = decay_steps
        self.decay_start_step = decay_start_step
        self.start_decay = start_decay
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """Rates of all groups at the current step; a group whose base is below `min_lr` keeps its base."""
        return [self._rate(float(base), self.last_epoch) for base in self.base_lrs]

    def _rate(self, base: float, step: int) -> float:
        if step < self.warmup_steps:
            return base * (step + 1) / self.warmup_steps
        if not 0 <= self.decay_start_step <= step or base <= self.min_lr:
            return base
        progress = min(1.0, (step - self.decay_start_step) / self.decay_steps)
        return 1.0 / ((1.0 - progress) / base + progress / self.min_lr)

    def state_dict(self) -> dict[str, Any]:
        """Position, and where a decay began."""
        return {"last_epoch": self.last_epoch, "decay_start_step": self.decay_start_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the position; the decay is the config's, except for a start that already lies behind."""
        self.last_epoch = state_dict["last_epoch"]
        saved = state_dict["decay_start_step"]
        if 0 <= saved <= self.last_epoch and (self.start_decay or self.decay_start_step < 0):
            self.decay_start_step = saved
        elif self.start_decay:
            self.decay_start_step = self.last_epoch
        apply_rates(self, self.get_lr())


class PositionalLR(LambdaLR):
    """A rate that is a function of the step alone: a checkpoint gives the position, the config gives the function.

    A run that is resumed with another length or another base rate follows the new schedule from its next update on.
    """

    def state_dict(self) -> dict[str, Any]:
        """The position."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to the saved position and apply the rates there."""
        self.last_epoch = state_dict["last_epoch"]
        rates = [base * factor(self.last_epoch) for base, factor in zip(self.base_lrs, self.lr_lambdas, strict=True)]
        apply_rates(self, rates)


class CosineLRScheduler(PositionalLR):
    """Linear warm-up, then half a cosine to `min_lr` at `total_steps` (Loshchilov & Hutter, 2017, arXiv:1608.03983)."""

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup_steps: int = 0, min_lr: float = 0.0) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ArgumentsError(f"the cosine needs 0 <= warmup_steps < total_steps, not {warmup_steps}, {total_steps}")

        def factor(base: float) -> Callable[[int], float]:
            floor = min(1.0, min_lr / base)

            def at(step: int) -> float:
                if step < warmup_steps:
                    return (step + 1) / warmup_steps
                progress = min(1.0, (step - warmup_steps) / (total_steps - warmup_steps))
                return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * progress))

            return at

        super().__init__(optimizer, [factor(group["lr"]) for group in optimizer.param_groups])


def linear_schedule(optimizer: Optimizer, total_steps: int, warmup_steps: int = 0) -> PositionalLR:
    """Linear warm-up, then linearly to 0 at `total_steps`."""

    def at(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))

    return PositionalLR(optimizer, at)


def constant_schedule(optimizer: Optimizer, total_steps: int, warmup_steps: int = 0) -> PositionalLR:
    """Linear warm-up, then constant. `total_steps` is part of the shared signature and does not matter here."""
    return PositionalLR(optimizer, lambda step: min(1.0, (step + 1) / max(1, warmup_steps)))


SCHEDULES: Final[dict[str, Callable[..., LRScheduler]]] = {
    "constant": constant_schedule,
    "linear": linear_schedule,
    "cosine": CosineLRScheduler,
}
"""The built-in shapes of `lr_scheduler_type`; each takes (optimizer, total_steps, warmup_steps)."""
