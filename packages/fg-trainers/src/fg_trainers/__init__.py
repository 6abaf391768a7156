"""One training loop; strategy, precision, data and callbacks are objects it is given."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fg_trainers.__about__ import __version__

if TYPE_CHECKING:
    from fg_trainers.arguments import TrainingArguments
    from fg_trainers.callbacks.base import TrainerCallback
    from fg_trainers.callbacks.bits_per_character import BitsPerCharacter
    from fg_trainers.callbacks.info import InfoCallback
    from fg_trainers.callbacks.json_logger import JsonLogger
    from fg_trainers.callbacks.metrics import DefaultMetrics
    from fg_trainers.callbacks.progress import ProgressCallback
    from fg_trainers.callbacks.tensorboard import ResumableSummaryWriter, TBLogger
    from fg_trainers.callbacks.text_generation import TextgenCallback
    from fg_trainers.data.collate import DataCollatorForCausalLM
    from fg_trainers.data.mapped_rows import MappedRows
    from fg_trainers.data.text_dataset import text_dataset
    from fg_trainers.data.tokenize import TokenizeText
    from fg_trainers.errors import TrainerError
    from fg_trainers.interfaces import LossSum, ParallelStrategy, SampleSource, TokenLoss
    from fg_trainers.optimizer_groups import make_grouped_optimizer, make_regex_optimizer_groups
    from fg_trainers.schedules import CosineLRScheduler, WSDScheduler
    from fg_trainers.state import TrainerControl, TrainerState, TrainOutput
    from fg_trainers.strategies.single import SingleDevice
    from fg_trainers.trainer import Trainer
    from fg_trainers.training_script import TrainingScript

_MODULES = {
    "BitsPerCharacter": "callbacks.bits_per_character",
    "CosineLRScheduler": "schedules",
    "DataCollatorForCausalLM": "data.collate",
    "DefaultMetrics": "callbacks.metrics",
    "InfoCallback": "callbacks.info",
    "JsonLogger": "callbacks.json_logger",
    "LossSum": "interfaces",
    "MappedRows": "data.mapped_rows",
    "ParallelStrategy": "interfaces",
    "ProgressCallback": "callbacks.progress",
    "ResumableSummaryWriter": "callbacks.tensorboard",
    "SampleSource": "interfaces",
    "SingleDevice": "strategies.single",
    "TBLogger": "callbacks.tensorboard",
    "TextgenCallback": "callbacks.text_generation",
    "TokenLoss": "interfaces",
    "TokenizeText": "data.tokenize",
    "TrainOutput": "state",
    "Trainer": "trainer",
    "TrainerCallback": "callbacks.base",
    "TrainerControl": "state",
    "TrainerError": "errors",
    "TrainerState": "state",
    "TrainingArguments": "arguments",
    "TrainingScript": "training_script",
    "WSDScheduler": "schedules",
    "make_grouped_optimizer": "optimizer_groups",
    "make_regex_optimizer_groups": "optimizer_groups",
    "text_dataset": "data.text_dataset",
}

__all__ = [
    "BitsPerCharacter",
    "CosineLRScheduler",
    "DataCollatorForCausalLM",
    "DefaultMetrics",
    "InfoCallback",
    "JsonLogger",
    "LossSum",
    "MappedRows",
    "ParallelStrategy",
    "ProgressCallback",
    "ResumableSummaryWriter",
    "SampleSource",
    "SingleDevice",
    "TBLogger",
    "TextgenCallback",
    "TokenLoss",
    "TokenizeText",
    "TrainOutput",
    "Trainer",
    "TrainerCallback",
    "TrainerControl",
    "TrainerError",
    "TrainerState",
    "TrainingArguments",
    "TrainingScript",
    "WSDScheduler",
    "__version__",
    "make_grouped_optimizer",
    "make_regex_optimizer_groups",
    "text_dataset",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: templates and metadata are reachable without torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'fg_trainers' has no attribute {name!r}")
    return getattr(import_module(f"fg_trainers.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
