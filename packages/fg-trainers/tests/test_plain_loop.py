"""The loop computes what forty lines of plain torch compute on the same data."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fg_trainers import Trainer, TrainerCallback, TrainingArguments
from fg_trainers.data.sources import as_stream

STEPS, BATCH, ACCUMULATION, RATE, CLIP, WARMUP = 50, 4, 2, 1e-2, 0.5, 5


class Losses(TrainerCallback):
    """Mean loss per token of each update, and the norm of its gradient."""

    def __init__(self):
        self.losses, self.norms = [], []

    def on_train_metrics(self, args, state, control, *, metrics, **context):
        self.losses.append((metrics["loss"].sum / metrics["loss"].count).item())
        self.norms.append(metrics["grad_norm"].item())


def plain_loop(model, rows):
    """Linear warm-up and decay, AdamW, clipping, mean loss over the tokens of each update."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1)
    losses, norms = [], []
    for step in range(STEPS):
        scale = (step + 1) / WARMUP if step < WARMUP else (STEPS - step) / (STEPS - WARMUP)
        for group in optimizer.param_groups:
            group["lr"] = RATE * scale
        first = step * BATCH * ACCUMULATION
        total, count = 0.0, 0
        for number in range(first, first + BATCH * ACCUMULATION):
            ids = torch.tensor([rows[number % len(rows)]])
            logits = model(ids).logits[0, :-1]
            total = total + F.cross_entropy(logits, ids[0, 1:], reduction="sum")
            count += ids.shape[1] - 1
        loss = total / count
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP).item())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses, norms


def trained(model, rows, tmp_path):
    seen = Losses()
    args = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=STEPS,
        per_device_train_batch_size=BATCH,
        gradient_accumulation_steps=ACCUMULATION,
        learning_rate=RATE,
        adam_beta2=0.95,
        weight_decay=0.1,
        max_grad_norm=CLIP,
        warmup_steps=WARMUP,
        save_strategy="no",
    )
    Trainer(args, model=model, train_dataset=as_stream(rows, seed=None), callbacks=[seen]).train()
    return seen.losses, seen.norms


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_fifty_steps_equal_a_plain_loop(make_model, rows, tmp_path, dtype, tolerance):
    expected_losses, expected_norms = plain_loop(make_model(dtype), rows)
    losses, norms = trained(make_model(dtype), rows, tmp_path)
    assert losses == pytest.approx(expected_losses, rel=tolerance, abs=0)
    assert norms == pytest.approx(expected_norms, rel=10 * tolerance, abs=0)
    assert losses[-1] < 0.8 * losses[0], "the comparison means little when nothing is learnt"
