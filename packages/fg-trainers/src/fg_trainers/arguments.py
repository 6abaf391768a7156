"""Every setting of a run, in one flat dataclass; a setting that the Hugging Face trainer has too is named as there."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fg_trainers.errors import ArgumentsError, near_matches

IntervalStrategy = Literal["no", "steps", "epoch"]
SchedulerType = Literal["constant", "linear", "cosine"]


@dataclass(kw_only=True)
class TrainingArguments:
    """Settings of one run, checked when they are constructed. Steps are optimizer updates throughout.

    Raises:
        ArgumentsError: a value is out of range, or two settings exclude each other.
    """

    output_dir: str = "tmp_trainer"
    """Root of the model, its checkpoints and its runs."""
    logging_dir: str | None = None
    """Logs of this run; None is `<output_dir>/runs/<timestamp>_<host>`."""
    overwrite_output_dir: bool = False
    """Let a fresh start (`resume_from_checkpoint` False) delete the checkpoints that are there."""

    per_device_train_batch_size: int = 16
    """Sequences per device and micro-batch."""
    per_device_eval_batch_size: int = 16
    """Sequences per device and evaluation batch."""
    gradient_accumulation_steps: int = 1
    """Micro-batches per update."""
    num_train_epochs: float = 1
    """Passes over the training data, may be fractional; not used when `max_steps` is set."""
    max_steps: int = -1
    """Absolute number of updates after which the run ends; -1 lets `num_train_epochs` decide."""

    seed: int = -1
    """Seed of Python, numpy and torch; -1 leaves them alone."""
    use_cpu: bool = False
    """Stay on the CPU although an accelerator is present."""
    default_dtype: str | None = None
    """Floating-point type of the parameters: float32, bfloat16, float16 or float64; None keeps torch's default."""
    float32_matmul_precision: Literal["highest", "high", "medium"] | None = None
    """Passed to `torch.set_float32_matmul_precision`."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass (`model.gradient_checkpointing_enable`)."""

    learning_rate: float = 5e-5
    """Of the built-in AdamW, used only without an optimizer factory."""
    weight_decay: float = 0.0
    """Of the built-in AdamW."""
    adam_beta1: float = 0.9
    """Of the built-in AdamW."""
    adam_beta2: float = 0.999
    """Of the built-in AdamW."""
    adam_epsilon: float = 1e-8
    """Of the built-in AdamW."""
    max_grad_norm: float | None = None
    """Clip the global gradient norm to this; None or 0 only measures it."""
    lr_scheduler_type: SchedulerType = "linear"
    """Shape of the built-in schedule, used only without a scheduler factory."""
    warmup_steps: int = 0
    """Linear warm-up of the built-in schedule."""

    logging_strategy: IntervalStrategy = "steps"
    logging_steps: int = 50
    """Updates between two log records."""
    logging_first_step: bool = False
    """Also log after the first update."""
    eval_strategy: IntervalStrategy = "no"
    eval_steps: int = 100
    """Updates between two evaluations."""
    max_eval_steps: int = -1
    """Evaluate at most this many batches; -1 evaluates all."""
    save_strategy: IntervalStrategy = "steps"
    save_steps: int = 1000
    """Updates between two checkpoints."""
    save_total_limit: int | None = 2
    """How many checkpoints stay; None keeps all."""
    resume_from_checkpoint: bool | str = True
    """True: the newest checkpoint, or a fresh start when there is none. A path: that one. False: a fresh start."""
    speed_metrics_start_step: int = 1
    """Updates left out of the average rates, so that warm-up does not count."""

    _logging_dir: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_types()
        for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
            self._require(getattr(self, name) >= 1, name, "must be at least 1")
        for name in ("logging_steps", "eval_steps", "save_steps"):
            self._require(getattr(self, name) >= 1, name, "must be at least 1; use the strategy 'no' to switch it off")
        self._require(self.max_steps == -1 or self.max_steps > 0, "max_steps", "must be positive, or -1 for no limit")
        self._require(
            self.max_steps > 0 or self.num_train_epochs > 0,
            "num_train_epochs",
            "must be positive unless max_steps limits the run",
        )
        self._require(
            self.save_total_limit is None or self.save_total_limit >= 1,
            "save_total_limit",
            "must be at least 1, or None",
        )
        for name in ("warmup_steps", "speed_metrics_start_step"):
            self._require(getattr(self, name) >= 0, name, "must not be negative")
        self._require(self.max_eval_steps == -1 or self.max_eval_steps > 0, "max_eval_steps", "must be positive, or -1")
        self._require(self.seed >= -1, "seed", "must not be negative, except -1 for no seed")
        self._require(self.max_grad_norm is None or self.max_grad_norm >= 0, "max_grad_norm", "must not be negative")
        stamp = time.strftime("%Y-%m-%dT%H-%M-%S")
        self._logging_dir = self.logging_dir or str(Path(self.output_dir) / "runs" / f"{stamp}_{socket.gethostname()}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TrainingArguments:
        """Build from a mapping; an unknown key is an error that names the nearest setting."""
        known = [item.name for item in dataclasses.fields(cls) if item.init]
        for key in values:
            if key not in known:
                raise ArgumentsError(f"unknown training argument '{key}'{near_matches(key, known)}")
        return cls(**values)

    @property
    def run_dir(self) -> Path:
        """Where this run's logs go (`logging_dir`, or the time-stamped default)."""
        return Path(self._logging_dir)

    def owns(self, path: Path) -> bool:
        """Whether a file or directory exists and belongs to this run: a resumed run goes on in its own logs only.

        A run that starts from a checkpoint of another output directory leaves the logs there alone.
        """
        homes = (Path(self.output_dir).resolve(), self.run_dir.resolve())
        return path.exists() and any(path.resolve().is_relative_to(home) for home in homes)

    @property
    def dtype_name(self) -> str | None:
        """`default_dtype` without a leading `torch.`."""
        return None if self.default_dtype is None else self.default_dtype.removeprefix("torch.")

    def to_json(self) -> dict[str, Any]:
        """The settings as plain data, for records of the run."""
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self) if item.init}

    def _check_types(self) -> None:
        hints = get_type_hints(type(self))
        for item in dataclasses.fields(self):
            value = getattr(self, item.name) if item.init else None
            if item.init and not _fits(value, hints[item.name]):
                raise ArgumentsError(f"{item.name}={value!r} is not {_described(hints[item.name])}")

    def _require(self, condition: bool, name: str, text: str) -> None:
        if not condition:
            raise ArgumentsError(f"{name}={getattr(self, name)!r}: {text}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type; an int is a float, a bool is neither."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_args(hint):  # a union
        return any(_fits(value, part) for part in get_args(hint))
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _described(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(option) for option in get_args(hint))
    parts = get_args(hint) or (hint,)
    return " or ".join(
        _described(part) if get_args(part) else "None" if part is type(None) else part.__name__ for part in parts
    )
