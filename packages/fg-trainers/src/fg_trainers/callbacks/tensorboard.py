"""TensorBoard, when its package is installed: scalars of each log and evaluation, texts of the run."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fg_trainers.arguments import TrainingArguments
from fg_trainers.callbacks.base import RecordCallback, TrainerCallback
from fg_trainers.errors import LaunchError
from fg_trainers.state import TrainerControl, TrainerState

logger = logging.getLogger(__name__)


class ResumableSummaryWriter(TrainerCallback):
    """A TensorBoard writer that goes on in the directory of the run being resumed.

    It opens when training begins, so it stands in the list of callbacks before those that write to it. A run that
    starts from a checkpoint of another output directory writes to a directory of its own.

    Events after the resumed step are purged. All `add_*` methods of `torch.utils.tensorboard.SummaryWriter` are
    forwarded; on ranks other than 0 they do nothing. Args: log_dir: None uses the run's directory.
    """

    def __init__(self, log_dir: str | None = None) -> None:
        self._log_dir = log_dir
        self._writer: Any = None
        self._silent = False
        self._resuming = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **context: Any
    ) -> None:
        self._silent = not state.is_world_process_zero
        if self._silent:
            return
        if self._log_dir is None or (self._resuming and not args.owns(Path(self._log_dir))):
            self._log_dir, self._resuming = str(args.run_dir), False
        self._open(purge_step=state.global_step + 1 if self._resuming else None)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **context: Any
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def state_dict(self) -> dict[str, Any]:
        """Which directory the run writes to."""
        return {"log_dir": None if self._log_dir is None else str(Path(self._log_dir).resolve())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on in the saved directory."""
        if state["log_dir"] is not None:
            self._log_dir, self._resuming = state["log_dir"], True

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("add_") and name != "flush":
            raise AttributeError(name)
        if self._silent:
            return _ignore
        if self._writer is None:
            raise LaunchError("add the ResumableSummaryWriter to the callbacks, before those that write to it")
        return getattr(self._writer, name)

    def _open(self, purge_step: int | None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise LaunchError(
                "TensorBoard is not installed: pip install 'fg-trainers[tensorboard]', or remove its callback "
                "(set callback 'tensorboard' to ~ in [callback_list])"
            ) from error
        self._writer = SummaryWriter(log_dir=self._log_dir, purge_step=purge_step)


def _ignore(*args: Any, **kwargs: Any) -> None:
    """What a writer does on a rank that has none."""


class TBLogger(RecordCallback):
    """Writes the numbers of each log and evaluation to `summary_writer`, and the settings as text.

    Args:
        summary_writer: a `ResumableSummaryWriter` (also given as a callback) or any SummaryWriter.
        experiment_info: texts to store under their keys at the start.
    """

    def __init__(
        self, summary_writer: ResumableSummaryWriter, experiment_info: Mapping[str, Any] | None = None
    ) -> None:
        self._writer = summary_writer
        self._info = dict(experiment_info or {})

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **context: Any
    ) -> None:
        texts = {"training_arguments": json.dumps(args.to_json(), indent=2), **self._info}
        for tag, text in texts.items():
            self._writer.add_text(tag, f"```\n{text}\n```", state.global_step)

    def record(self, state: TrainerState, values: Mapping[str, Any]) -> None:
        """Write the numbers."""
        for tag, value in values.items():
            if isinstance(value, (int, float)) and tag != "epoch":
                self._writer.add_scalar(tag, value, state.global_step)
        self._writer.flush()
