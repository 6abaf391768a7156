"""What a run gets for each part it was not given, and the settings that are global to the process."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from fg_trainers.arguments import TrainingArguments
from fg_trainers.errors import ArgumentsError
from fg_trainers.schedules import SCHEDULES


def seed_everything(args: TrainingArguments) -> None:
    """Seed Python, numpy and torch when `seed` is set, and apply `float32_matmul_precision`."""
    if args.float32_matmul_precision is not None:
        torch.set_float32_matmul_precision(args.float32_matmul_precision)
    if args.seed >= 0:
        random.seed(args.seed)
        np.random.seed(args.seed % 2**32)
        torch.manual_seed(args.seed)


@contextmanager
def default_dtype(name: str | None) -> Generator[None]:
    """While active, parameters are constructed in the named floating-point type; None leaves it alone."""
    dtype = None if name is None else getattr(torch, name, None)
    if name is not None and (not isinstance(dtype, torch.dtype) or not dtype.is_floating_point):
        raise ArgumentsError(f"default_dtype={name!r} is not float32, bfloat16, float16 or float64")
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype or before)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def constant(model: nn.Module | None) -> Callable[[], nn.Module]:
    """A `model_init` for a model that exists already."""
    assert model is not None  # checked with the arguments of the trainer
    return lambda: model


def default_optimizer(args: TrainingArguments, named_parameters: Iterator[tuple[str, nn.Parameter]]) -> Optimizer:
    """torch's AdamW with the settings of `args`, in its fused form: one pass over the parameters, on the CPU too."""
    return torch.optim.AdamW(
        named_parameters,
        fused=True,
        lr=args.learning_rate,
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_epsilon,
        weight_decay=args.weight_decay,
    )


def default_schedule(args: TrainingArguments, optimizer: Optimizer, total_steps: int) -> LRScheduler:
    """The schedule named by `lr_scheduler_type`, over the whole run."""
    return SCHEDULES[args.lr_scheduler_type](optimizer, total_steps, args.warmup_steps)


def model_transforms(args: TrainingArguments) -> list[Callable[[nn.Module], nn.Module]]:
    """What is done to the model between its construction and the optimizer's."""
    return [_enable_gradient_checkpointing] if args.gradient_checkpointing else []


def _enable_gradient_checkpointing(model: nn.Module) -> nn.Module:
    # transformers 5.23 renamed the method; models for older versions have the old name only.
    names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
    enable = next((getattr(model, name) for name in names if hasattr(model, name)), None)
    if enable is None:
        raise ArgumentsError(f"gradient_checkpointing: {type(model).__name__} has none of {', '.join(names)}")
    enable()
    return model
