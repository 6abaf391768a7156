"""Tokens per second of the demo's model: our loop, a plain loop, and `transformers.Trainer`.

All three train the same model on the same rows with torch's AdamW, gradient clipping and a logged loss. Ours computes
the loss from the hidden states, the other two from logits.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from fg_config import Project
from fg_trainers import Trainer, TrainingArguments
from tools.bench.measure import interleaved, machine, ratios

PROJECT = Path(__file__).parents[2] / "examples" / "tutorials" / "tiny_llama"
BATCH, LENGTH, WARM_UP, STEPS, CLIP, RATE = 8, 128, 5, 40, 1.0, 1e-3
PEER = "transformers.Trainer"


def run(rounds: int) -> dict[str, Any]:
    """Tokens per second and ratios to `transformers.Trainer`."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as place:
        model_init = Project("v1.yaml", PROJECT, output_dir=str(Path(place) / "model"))("model_init")
        rows = _rows(model_init().config.vocab_size)
        contenders: dict[str, Callable[[], float]] = {
            "fg_trainers.Trainer": lambda: _ours(model_init(), rows, place),
            "plain loop": lambda: _plain(model_init(), rows),
            PEER: lambda: _transformers(model_init(), rows, place),
        }
        figures = interleaved(contenders, rounds)
    return {
        "what": f"tokens per second, {BATCH} sequences of {LENGTH} tokens per update, fp32, after {WARM_UP} updates",
        "machine": {**machine("torch", "transformers", "accelerate"), "torch_threads": torch.get_num_threads()},
        "tokens_per_second": {name: round(statistics.median(values)) for name, values in figures.items()},
        f"ratio to {PEER}": {name: round(ratio, 3) for name, ratio in ratios(figures, PEER).items()},
        "rounds": {name: [round(value) for value in values] for name, values in figures.items()},
    }


def _rows(vocab_size: int) -> list[list[int]]:
    torch.manual_seed(0)
    return torch.randint(3, vocab_size, (BATCH * (WARM_UP + STEPS), LENGTH)).tolist()


def _rate(stamps: list[float]) -> float:
    """Tokens per second between the end of warm-up and the end."""
    return BATCH * LENGTH * (len(stamps) - 1 - WARM_UP) / (stamps[-1] - stamps[WARM_UP])


def _ours(model: torch.nn.Module, rows: list[list[int]], place: str) -> float:
    from fg_trainers import TrainerCallback

    stamps: list[float] = [0.0]

    class Clock(TrainerCallback):
        def on_step_end(self, *args: object, **context: object) -> None:
            stamps.append(time.perf_counter())

    args = TrainingArguments(
        output_dir=place,
        max_steps=WARM_UP + STEPS,
        per_device_train_batch_size=BATCH,
        learning_rate=RATE,
        max_grad_norm=CLIP,
        logging_steps=10,
        save_strategy="no",
        use_cpu=not torch.cuda.is_available(),
    )
    Trainer(args, model=model, train_dataset=rows, callbacks=[Clock()]).train()
    return _rate(stamps)


def _plain(model: torch.nn.Module, rows: list[list[int]]) -> float:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0, fused=True)
    stamps = [0.0]
    for step in range(WARM_UP + STEPS):
        ids = torch.tensor(rows[step * BATCH : (step + 1) * BATCH], device=device)
        logits = model(input_ids=ids).logits
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 9:
            loss.item()
        stamps.append(time.perf_counter())
    return _rate(stamps)


def _transformers(model: torch.nn.Module, rows: list[list[int]], place: str) -> float:
    import transformers

    stamps: list[float] = [0.0]

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *args: object, **context: object) -> None:
            stamps.append(time.perf_counter())

    args = transformers.TrainingArguments(
        output_dir=place,
        max_steps=WARM_UP + STEPS,
        per_device_train_batch_size=BATCH,
        learning_rate=RATE,
        max_grad_norm=CLIP,
        logging_steps=10,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
    )
    data = [{"input_ids": row, "labels": row} for row in rows]
    trainer = transformers.Trainer(
        model=model,
        args=args,
        train_dataset=data,
        data_collator=transformers.default_data_collator,
        callbacks=[Clock()],
    )
    trainer.train()
    return _rate(stamps)
