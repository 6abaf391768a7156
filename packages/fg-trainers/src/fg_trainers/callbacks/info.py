"""What is about to be trained, in a few lines before the first step."""

from __future__ import annotations

import logging
from typing import Any

from torch import nn

from fg_trainers.arguments import TrainingArguments
from fg_trainers.callbacks.base import TrainerCallback
from fg_trainers.state import TrainerControl, TrainerState

logger = logging.getLogger(__name__)


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Number of parameters: total, trainable, and those of the input embedding. Tied parameters count once."""
    parameters = list(model.parameters())
    lookup = getattr(model, "get_input_embeddings", None)
    embedding = lookup() if callable(lookup) else None
    return {
        "total": sum(p.numel() for p in parameters),
        "trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "embedding": sum(p.numel() for p in embedding.parameters()) if isinstance(embedding, nn.Module) else 0,
    }


class InfoCallback(TrainerCallback):
    """Logs parameters, batch sizes and the number of updates at the start; `verbose` adds settings and modules."""

    def __init__(self, verbose: bool = False) -> None:
        self._verbose = verbose

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: nn.Module,
        optimizer: object,
        **context: Any,
    ) -> None:
        if not state.is_world_process_zero or state.global_step >= state.max_steps:
            return
        counts = parameter_counts(model)
        logger.info(
            "parameters: %s (trainable %s, embedding %s)",
            *(f"{counts[key]:,}" for key in ("total", "trainable", "embedding")),
        )
        logger.info(
            "%d sequences x %d micro-batch(es) per update on each device, updates %d to %d, logs in %s",
            args.per_device_train_batch_size,
            args.gradient_accumulation_steps,
            state.global_step + 1,
            state.max_steps,
            args.run_dir,
        )
        if self._verbose:
            logger.info("settings: %s", args)
            logger.info("optimizer: %s", optimizer)
            logger.info("model: %s", model)
