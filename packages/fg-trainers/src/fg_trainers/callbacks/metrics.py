"""Throughput of the run, measured where it is honest to measure it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from fg_trainers.arguments import TrainingArguments
from fg_trainers.callbacks.base import TrainerCallback
from fg_trainers.state import TrainerControl, TrainerState


class DefaultMetrics(TrainerCallback):
    """Adds `tok_per_sec` and, when the peak of the hardware is known, `mfu` to each log record.

    Args:
        peak_hardware_flops: dense peak of all devices together, in FLOP/s. None leaves `mfu` out; an unknown card is
            unknown, never a guess.
    """

    def __init__(self, peak_hardware_flops: float | None = None) -> None:
        self._peak = peak_hardware_flops
        self._since: float | None = None
        self._flos_since = 0.0
        self._step_began = 0.0
        self._busy = 0.0
        self._tokens = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **context: Any
    ) -> None:
        self._since, self._flos_since, self._busy = time.perf_counter(), state.total_flos, 0.0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **context: Any
    ) -> None:
        self._step_began = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **context: Any
    ) -> None:
        self._busy += time.perf_counter() - self._step_began

    def on_train_metrics(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        metrics: Mapping[str, Any],
        **context: Any,
    ) -> None:
        # Counted here: the tokens of a log record may have been trained before this process was started.
        self._tokens += metrics["tokens"]

    def on_log_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        logs: dict[str, Any],
        **context: Any,
    ) -> None:
        now = time.perf_counter()
        if self._since is not None and now > self._since:
            logs["tok_per_sec"] = round(self._tokens / (now - self._since))
        if self._peak and self._busy > 0 and state.total_flos > self._flos_since:
            logs["mfu"] = (state.total_flos - self._flos_since) / self._busy / self._peak
        self._since, self._flos_since, self._busy, self._tokens = now, state.total_flos, 0.0, 0
