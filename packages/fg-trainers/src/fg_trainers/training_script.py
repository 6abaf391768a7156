"""The object behind a config's `main` target: train, and say how it ended."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fg_trainers.state import TrainOutput
    from fg_trainers.trainer import Trainer

logger = logging.getLogger(__name__)


class TrainingScript:
    """What `forgather train` runs.

    Args:
        trainer: the trainer, not yet prepared.
        meta: the config's metadata, for messages.
        do_train, do_eval: what to run; evaluation follows training.
    """

    def __init__(
        self,
        *,
        trainer: Trainer,
        meta: Mapping[str, Any] | None = None,
        do_train: bool = True,
        do_eval: bool = False,
    ) -> None:
        self.trainer = trainer
        self.meta = dict(meta or {})
        self._do_train = do_train
        self._do_eval = do_eval

    def run(self) -> TrainOutput | None:
        """Train and evaluate as asked; returns the output of training."""
        output = self.trainer.train() if self._do_train else None
        if output is not None:
            logger.info("%s", "  ".join(f"{key} {_shown(value)}" for key, value in output.metrics.items()))
        if self._do_eval and not (output and output.interrupted):
            metrics = self.trainer.evaluate()
            logger.info("%s", "  ".join(f"{key} {_shown(value)}" for key, value in metrics.items()))
        return output


def _shown(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
