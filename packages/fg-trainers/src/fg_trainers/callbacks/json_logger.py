"""The run as data: one JSON object per line, appended as it happens."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fg_trainers.arguments import TrainingArguments
from fg_trainers.callbacks.base import TrainerCallback
from fg_trainers.state import TrainerControl, TrainerState

logger = logging.getLogger(__name__)


class JsonLogger(TrainerCallback):
    """Writes `<run directory>/trainer_logs.jsonl`: one record per log and per evaluation.

    A killed run leaves whole lines only. A resumed run goes on in the file of the run it continues; records after the
    checkpoint are dropped first, so a step is never recorded twice. `static` keywords are part of the first record.
    """

    file_name = "trainer_logs.jsonl"

    def __init__(self, **static: Any) -> None:
        self._static = static
        self._path: Path | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **context: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        if self._path is None or not self._path.exists():
            if self._path is not None:
                logger.warning("the log %s of the run being resumed is gone; starting a new one", self._path)
            self._path = args.run_dir / self.file_name
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._append({"global_step": state.global_step, "arguments": args.to_json(), **self._static})
        else:
            _keep_up_to(self._path, state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        logs: Mapping[str, Any],
        **context: Any,
    ) -> None:
        self._record(state, logs)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        metrics: Mapping[str, Any],
        **context: Any,
    ) -> None:
        self._record(state, metrics)

    def state_dict(self) -> dict[str, Any]:
        """Which file the run writes."""
        return {"path": None if self._path is None else str(self._path.resolve())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on in the saved file."""
        self._path = None if state["path"] is None else Path(state["path"])

    def _record(self, state: TrainerState, values: Mapping[str, Any]) -> None:
        if state.is_world_process_zero:
            self._append({"global_step": state.global_step, "epoch": state.epoch, **values})

    def _append(self, record: Mapping[str, Any]) -> None:
        if self._path is None:
            return
        line = json.dumps({"timestamp": time.time(), **{key: _finite(value) for key, value in record.items()}})
        # One write call per record, unbuffered: a killed process leaves whole lines.
        with self._path.open("ab", buffering=0) as stream:
            stream.write(line.encode() + b"\n")


def _keep_up_to(path: Path, step: int) -> None:
    """Drop the records after `step`; the log is the old one or the new one, also when the process is killed here."""
    kept = [json.dumps(record) + "\n" for record in read_records(path) if record["global_step"] <= step]
    shorter = path.with_suffix(".partial")
    shorter.write_text("".join(kept))
    shorter.replace(path)


def _finite(value: Any) -> Any:
    """NaN and infinities as text: strict JSON has neither, and a diverged run must still leave a readable log."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def read_records(path: str | Path) -> list[dict[str, Any]]:
    """All records of a log; an incomplete last line (the machine died while writing) is left out.

    Raises:
        ValueError: a line before the last is not JSON.
    """
    lines = Path(path).read_text().split("\n")
    records = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: not a JSON record ({error})") from error
    return records
