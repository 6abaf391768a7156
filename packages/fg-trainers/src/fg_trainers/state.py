"""Where the run is, and what callbacks ask of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(kw_only=True)
class TrainerState:
    """Progress of the run. Callbacks read it; only the loop writes it."""

    global_step: int = 0
    """Updates done so far."""
    max_steps: int = 0
    """Updates after which the run ends."""
    epoch: float = 0.0
    """Passes over the data so far, with the fraction of the current one."""
    total_tokens: int = 0
    """Supervised tokens seen, over all ranks."""
    total_flos: float = 0.0
    """Floating-point operations of the model's forward and backward passes so far, without recomputation."""
    is_world_process_zero: bool = True


@dataclass(kw_only=True)
class TrainerControl:
    """Requests to the loop. A handler on any rank sets a flag; all ranks act on it after the same update."""

    should_training_stop: bool = False
    should_epoch_stop: bool = False
    should_save: bool = False
    should_evaluate: bool = False
    should_log: bool = False
    should_abort_without_save: bool = False

    def to_bits(self) -> int:
        """One bit per flag, in the order of the fields: what the ranks combine."""
        return sum(1 << index for index, item in enumerate(fields(self)) if getattr(self, item.name))

    @classmethod
    def from_bits(cls, bits: int) -> TrainerControl:
        """The inverse of `to_bits`."""
        return cls(**{item.name: bool(bits >> index & 1) for index, item in enumerate(fields(cls))})

    def clear_requests(self) -> None:
        """Forget what has been taken up: requests for one log, evaluation or save, or to end the epoch."""
        self.should_log = self.should_evaluate = self.should_save = self.should_epoch_stop = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutput:
    """What `Trainer.train()` returns."""

    global_step: int
    metrics: dict[str, Any]
    interrupted_by: int | None = None
    """The signal that stopped the run, if one did."""

    @property
    def interrupted(self) -> bool:
        """Whether a signal stopped the run before `max_steps`."""
        return self.interrupted_by is not None
