"""One line per log record, so that a run can be followed in a terminal or in a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TextIO

from tqdm import tqdm

from fg_trainers.arguments import TrainingArguments
from fg_trainers.callbacks.base import RecordCallback
from fg_trainers.errors import ArgumentsError
from fg_trainers.state import TrainerControl, TrainerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """How one value of a log record is shown. `format` is a format specification, "si" (12.3M), or a function."""

    label: str
    width: int = 10
    format: str | Callable[[Any], str] = ".4g"

    def show(self, value: Any) -> str:
        """The value, right aligned in `width` characters."""
        if callable(self.format):
            text = self.format(value)
        elif self.format == "si":
            text = with_unit(float(value))
        else:
            text = format(int(value) if self.format.endswith("d") else value, self.format)
        return text.rjust(self.width)


def with_unit(value: float) -> str:
    """`1.23M` for 1,230,000."""
    for bound, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= bound:
            return f"{value / bound:.2f}{unit}"
    return f"{value:.4g}"


STEP_COLUMNS: Final[Mapping[str, Column]] = {
    "epoch": Column(label="epoch", width=8),
    "loss": Column(label="loss", width=9, format=".5f"),
    "eval_loss": Column(label="eval_loss", width=9, format=".5f"),
    "bits_per_char": Column(label="bits/char", width=9, format=".4f"),
    "grad_norm": Column(label="grad", width=9, format=".4f"),
    "learning_rate": Column(label="lr", width=9, format=".2e"),
    "total_tokens": Column(label="tokens", width=9, format="si"),
    "tok_per_sec": Column(label="tok/s", width=9, format=",d"),
    "mfu": Column(label="mfu", width=7, format=".1%"),
}


class ProgressCallback(RecordCallback):
    """Prints a table of log records, above a bar when the output is a terminal. Rank 0 only.

    Args:
        use_tqdm: show a bar; None shows one when the output is a terminal.
        output_stream: "stdout", "stderr" or an open text stream.
        step_columns: merged over `STEP_COLUMNS`; None as a value removes a column. Only values present are shown.
        header_interval: rows between two headers.
    """

    def __init__(
        self,
        use_tqdm: bool | None = None,
        output_stream: Literal["stdout", "stderr"] | TextIO = "stdout",
        step_columns: Mapping[str, Column | Mapping[str, Any] | None] | None = None,
        header_interval: int = 20,
    ) -> None:
        if isinstance(output_stream, str) and output_stream not in ("stdout", "stderr"):
            raise ArgumentsError(f"output_stream={output_stream!r} is not 'stdout', 'stderr' or a stream")
        self._stream: TextIO = getattr(sys, output_stream) if isinstance(output_stream, str) else output_stream
        self._use_tqdm = self._stream.isatty() if use_tqdm is None else use_tqdm
        self._columns = _merged(STEP_COLUMNS, step_columns or {})
        self._header_interval = header_interval
        self._rows = 0
        self._shown: tuple[str, ...] = ()
        self._bar: tqdm[Any] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **context: Any
    ) -> None:
        if self._use_tqdm and state.is_world_process_zero:
            self._bar = tqdm(total=state.max_steps, initial=state.global_step, file=self._stream, dynamic_ncols=True)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **context: Any
    ) -> None:
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **context: Any
    ) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def write(self, text: str) -> None:
        """Print a line without disturbing the bar."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            self._stream.write(text + "\n")
            self._stream.flush()

    def record(self, state: TrainerState, values: Mapping[str, Any]) -> None:
        """Print one row, under a header where one is due."""
        if not state.is_world_process_zero:
            return
        shown = tuple(key for key in self._columns if key in values)
        if shown != self._shown or self._rows % self._header_interval == 0:
            self.write(" " * 20 + "step".rjust(8) + "".join(self._header(key) for key in shown))
            self._shown, self._rows = shown, 0
        self._rows += 1
        cells = "".join(" " + self._columns[key].show(values[key]) for key in shown)
        self.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {state.global_step:8d}{cells}")

    def _header(self, key: str) -> str:
        column = self._columns[key]
        return " " + column.label.rjust(column.width)


def _column(key: str, fields: Mapping[str, Any]) -> Column:
    known = ("label", "width", "format")
    if unknown := set(fields) - set(known):
        raise ArgumentsError(f"column '{key}' has unknown settings {sorted(unknown)}; a column has {', '.join(known)}")
    return Column(label=fields.get("label", key), width=fields.get("width", 10), format=fields.get("format", ".4g"))


def _merged(
    defaults: Mapping[str, Column], changes: Mapping[str, Column | Mapping[str, Any] | None]
) -> dict[str, Column]:
    columns = dict(defaults)
    for key, change in changes.items():
        if change is None:
            columns.pop(key, None)
        else:
            columns[key] = change if isinstance(change, Column) else _column(key, change)
    return columns
