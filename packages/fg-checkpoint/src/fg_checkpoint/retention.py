"""Which checkpoints stay: the newest few, and the best few by a metric."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fg_checkpoint import directory
from fg_checkpoint.errors import CheckpointError
from fg_checkpoint.reference import CheckpointRef
from fg_checkpoint.validate import verify

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BestPolicy:
    """Keep the checkpoints with the best value of a metric, however old they are.

    Raises:
        ValueError: `keep` is below 1.
    """

    metric: str
    """Name among the metrics that were given to `save`, with or without a leading "eval_"."""
    mode: Literal["min", "max"] | None = None
    """Which direction is better; None: lower for names with "loss" or "perplexity", else higher."""
    keep: int = 1

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise ValueError(f"BestPolicy.keep is {self.keep}; keep at least 1")

    @property
    def lower_is_better(self) -> bool:
        """The direction, with the default resolved."""
        if self.mode is not None:
            return self.mode == "min"
        return "loss" in self.metric or "perplexity" in self.metric

    def value(self, ref: CheckpointRef) -> float | None:
        """The metric of a checkpoint; None when it has none, is not a number, or cannot be read."""
        try:
            metrics = ref.manifest.metrics
        except CheckpointError:
            return None
        value = metrics.get(self.metric, metrics.get(f"eval_{self.metric}"))
        return None if value is None or math.isnan(value) else value

    def select(self, refs: Sequence[CheckpointRef]) -> list[CheckpointRef]:
        """The best checkpoints, best first; of equal ones the older."""
        scored = [(value, ref) for ref in refs if (value := self.value(ref)) is not None]
        scored.sort(key=lambda pair: (pair[0] if self.lower_is_better else -pair[0], pair[1].step))
        return [ref for _, ref in scored[: self.keep]]


def apply_retention(
    refs: Sequence[CheckpointRef], *, saved: CheckpointRef, keep: int | None, best: BestPolicy | None
) -> list[CheckpointRef]:
    """Delete what is neither among the newest `keep`, nor best, nor just saved; return what was deleted.

    Nothing is deleted unless the checkpoint that was just saved is there in full: then the newest intact
    checkpoint is always among those that stay.
    """
    if keep is None:
        return []
    damages = verify(saved, "size")
    if damages:
        logger.error("%s is damaged right after saving (%s): older checkpoints stay", saved.path, damages[0])
        return []
    protected = {saved.step} | {ref.step for ref in refs[-keep:]}
    protected |= {ref.step for ref in best.select(refs)} if best else set()
    doomed = [ref for ref in refs if ref.step not in protected]
    for ref in doomed:
        directory.delete(ref.path)
    return doomed
