"""Kill a training run at random instants, over and over, and compare what comes out with a run never touched.

`python packages/fg-trainers/tests/kill_schedule.py --kills 30` runs a long schedule; the test suite runs a short one.
Every attempt is a process of its own, killed with SIGKILL while it trains, saves, starts or resumes. After each kill
the newest checkpoint must verify and must not be older than before. At the end weights and logs must be equal.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from fg_checkpoint import CheckpointStore
from fg_trainers import JsonLogger, Trainer, TrainingArguments
from fg_trainers.callbacks.json_logger import read_records

STEPS, SAVE_STEPS, WATCHDOG_SECONDS = 300, 2, 120.0


class Model(nn.Module):
    """Large enough that a save takes as long as a few steps."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(64, 96)
        self.layers = nn.Sequential(nn.Linear(96, 256), nn.Tanh(), nn.Linear(256, 96))
        self.lm_head = nn.Linear(96, 64)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        noise = torch.rand_like(input_ids, dtype=torch.float32)[..., None]  # draws from the generator that is resumed
        return self.lm_head(self.layers(self.embedding(input_ids) * (0.9 + 0.2 * noise)))


def train(directory: Path, steps: int = STEPS) -> None:
    """Train, or go on training, in `directory`."""
    torch.set_num_threads(1)
    rows = [[(start + 7 * i) % 64 for i in range(12)] for start in range(64)]
    args = TrainingArguments(
        output_dir=str(directory),
        logging_dir=str(directory / "logs"),
        max_steps=steps,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        learning_rate=1e-3,
        logging_steps=3,
        save_steps=SAVE_STEPS,
        seed=7,
    )
    Trainer(args, model_init=Model, train_dataset=rows, callbacks=[JsonLogger()]).train()


def outcome(directory: Path) -> dict[str, object]:
    """Weights, optimizer state and log of a finished run, without what depends on the clock."""
    newest = directory / "checkpoints" / f"checkpoint-{STEPS}"
    digest = hashlib.blake2b()
    for name in ("model", "optimizer"):
        for key, tensor in sorted(load_file(newest / f"{name}.safetensors").items()):
            digest.update(key.encode() + tensor.contiguous().numpy().tobytes())
    log = read_records(directory / "logs" / JsonLogger.file_name)
    records = [{k: v for k, v in record.items() if k != "timestamp"} for record in log]
    return {"state": digest.hexdigest(), "log": [record for record in records if "loss" in record]}


def attempts(directory: Path, kills: int, seconds: float, seed: int) -> Iterator[tuple[int, bool]]:
    """Start the run and kill it, `kills` times; yields the step of the newest checkpoint, and whether the kill hit.

    An attempt may commit up to twice its share of the saves that are left, so that the kills are spread over the whole
    run; then it is killed at a random instant of the following updates, or at once while it still starts.
    """
    draw = random.Random(seed)
    context = multiprocessing.get_context("fork")
    step = 0
    for left in range(kills, 0, -1):
        goal = step + draw.uniform(0, 2 * (STEPS - step) / left) - SAVE_STEPS
        process = context.Process(target=train, args=(directory,))
        process.start()
        while process.is_alive() and committed_step(directory) < goal:
            time.sleep(0.001)
        process.join(draw.uniform(0, 4 * SAVE_STEPS * seconds / STEPS))
        process.kill()
        process.join(WATCHDOG_SECONDS)
        assert process.exitcode is not None, "a killed process did not end"
        step = newest_step(directory)
        yield step, process.exitcode == -signal.SIGKILL


def committed_step(directory: Path) -> int:
    """Highest step that has the name of a committed checkpoint."""
    return max((ref.step for ref in CheckpointStore(directory / "checkpoints").list()), default=0)


def newest_step(directory: Path) -> int:
    """Step of the newest checkpoint, 0 without any. Raises when it does not verify."""
    store = CheckpointStore(directory / "checkpoints")
    ref = store.latest(on_damage="raise")
    return 0 if ref is None else ref.step


def run_schedule(root: Path, kills: int, seed: int = 0) -> dict[str, object]:
    """The whole comparison; raises AssertionError when a kill lost or changed anything."""
    context = multiprocessing.get_context("fork")
    train(root / "imports", steps=1)  # torch imports a good part of itself at the first step; children inherit it
    began = time.perf_counter()
    _finish(context, root / "reference")
    seconds = time.perf_counter() - began

    steps, hits = [0], 0
    for step, hit in attempts(root / "killed", kills, seconds, seed):
        hits += hit
        assert step >= steps[-1], f"the newest checkpoint went back from step {steps[-1]} to {step}"
        steps.append(step)
    _finish(context, root / "killed")
    assert outcome(root / "killed") == outcome(root / "reference")
    return {"kills": kills, "kills_that_hit": hits, "newest_steps": steps[1:]}


def _finish(context: multiprocessing.context.ForkContext, directory: Path) -> None:
    process = context.Process(target=train, args=(directory,))
    process.start()
    process.join(WATCHDOG_SECONDS)
    if process.exitcode is None:
        process.kill()
    assert process.exitcode == 0, f"the run in {directory} ended with {process.exitcode}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)  # noqa: T201  # this is a command line
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(run_schedule(Path(place), options.kills, options.seed)))  # noqa: T201
