"""When something is due that happens every so many updates, or once per epoch."""

from __future__ import annotations

from dataclasses import dataclass

from fg_trainers.arguments import IntervalStrategy


@dataclass(slots=True)
class Cadence:
    """Periods count from the last time it happened, so a save on request restarts the period of saving."""

    strategy: IntervalStrategy
    period: int
    last: int = 0
    """Update after which it last happened; part of a checkpoint."""

    def due(self, step: int, *, epoch_ended: bool) -> bool:
        """Whether it is due after update `step`."""
        if self.strategy == "steps":
            return step - self.last >= self.period
        return self.strategy == "epoch" and epoch_ended
