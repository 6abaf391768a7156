"""The run as data: one JSON object per line, appended as it happens."""

from __future__ import annotations

import itertools
import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fg_trainers.arguments import TrainingArguments
from fg_trainers.callbacks.base import RecordCallback
from fg_trainers.state import TrainerControl, TrainerState

logger = logging.getLogger(__name__)


class JsonLogger(RecordCallback):
    """Writes `<run directory>/trainer_logs.jsonl`: one record per log and per evaluation.

    A killed run leaves whole lines only. A resumed run goes on in its file; records after the checkpoint are dropped
    first, so a step is never recorded twice. A run that starts from a checkpoint of another output directory writes a
    log of its own. `static` keywords are part of the first record.
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
        if self._path is not None and args.owns(self._path) and _keep_up_to(self._path, state.global_step):
            return
        self._path = args.run_dir / self.file_name
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _set_aside(self._path)
        self._append({"global_step": state.global_step, "arguments": args.to_json(), **self._static})

    def state_dict(self) -> dict[str, Any]:
        """Which file the run writes."""
        return {"path": None if self._path is None else str(self._path.resolve())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on in the saved file."""
        self._path = None if state["path"] is None else Path(state["path"])

    def record(self, state: TrainerState, values: Mapping[str, Any]) -> None:
        """Append one line."""
        if state.is_world_process_zero:
            self._append({"global_step": state.global_step, "epoch": state.epoch, **values})

    def _append(self, record: Mapping[str, Any]) -> None:
        if self._path is None:
            return
        line = json.dumps({"timestamp": time.time(), **{key: _finite(value) for key, value in record.items()}})
        # One write call per record, unbuffered: a killed process leaves whole lines.
        with self._path.open("ab", buffering=0) as stream:
            stream.write(line.encode() + b"\n")


def _keep_up_to(path: Path, step: int) -> bool:
    """Drop the records after `step`; False when the log cannot be read.

    The log is the old one or the new one, also when the process is killed here.
    """
    try:
        kept = [json.dumps(record) + "\n" for record in read_records(path) if record["global_step"] <= step]
    except (ValueError, KeyError, TypeError) as error:
        logger.warning("the log of the run being resumed cannot be read (%s); a new one is begun", error)
        return False
    shorter = path.with_suffix(".partial")
    shorter.write_text("".join(kept))
    shorter.replace(path)
    return True


def _set_aside(path: Path) -> None:
    """Rename a log that is in the way: of a run that was killed before its first save, or one that is unreadable."""
    if path.exists():
        names = (path.with_name(f"{path.name}.{number}.bak") for number in itertools.count(1))
        path.rename(next(name for name in names if not name.exists()))


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
