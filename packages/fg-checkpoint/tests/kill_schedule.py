"""SIGKILL while saving, and what is left is looked at: `python kill_schedule.py --kills 200`, or `--operations`.

A child resumes from the newest intact checkpoint and saves one step after the other, partly in the background. It
announces every step before it begins to save it and after it is committed. The parent kills it at a random instant,
then checks that

- the newest checkpoint verifies, and no committed one is damaged;
- it is not older than the last step that was announced as committed (never backwards);
- all its contents are of one generation, and so are the weights that the model directory links to.

With `--operations` the instants are not random: a child that saves is killed before the first operation on the file
system, another before the second, and so on until one gets through.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from fg_checkpoint import CheckpointStore, SharingPattern, StateComponent

VALUES = 200_000
OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "shutil.rmtree"}


class Holder:
    def __init__(self, state=None):
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def components(step, values=VALUES):
    """State that says in every part of which generation it is."""
    model = {"a": torch.full((values,), float(step)), "b": torch.full((values,), float(step))}
    optimizer = {"state": {0: {"exp_avg": torch.full((values,), float(step)), "step": step}}}
    states = {"model": model, "optimizer": optimizer, "dataset": {"position": step}}
    return [StateComponent(key=k, stateful=Holder(v), pattern=SharingPattern.GLOBAL) for k, v in states.items()]


def generation(store, ref, values=VALUES):
    """The one step that all contents of a checkpoint say."""
    parts = components(-1, values)
    store.load(ref, parts)
    model, optimizer, dataset = (part.stateful.state for part in parts)
    first = optimizer["state"][0]
    found = torch.cat([model["a"], model["b"], first["exp_avg"]]).unique().tolist()
    said = {*found, float(first["step"]), float(dataset["position"])}
    assert len(said) == 1, f"{ref.path} mixes generations {sorted(said)}"
    return int(said.pop())


def save_for_ever(root, announce, seed):
    """The child: resume, then save and save."""
    rng = random.Random(seed)
    store = CheckpointStore(root, keep=2, max_shard_bytes=VALUES * 4, links=root.parent)
    latest = store.latest(on_damage="raise")
    step = 0 if latest is None else generation(store, latest)
    while True:
        # Now and then save a step again, as a run does that went back to an older checkpoint.
        step += rng.random() < 0.8 or step == 0
        os.write(announce, b"begin %d\n" % step)
        store.save(step, components(step), wait=rng.random() < 0.5).wait()
        os.write(announce, b"saved %d\n" % step)


def one_kill(root, rng):
    """Start a child, kill it, and return the last step it announced as committed (0: none)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            save_for_ever(root, writer, rng.random())
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb", buffering=0) as stream:
        head = stream.read(1)  # the child has begun to save
        time.sleep(rng.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        announced = (head + stream.readall()).decode().splitlines()
    assert os.WIFSIGNALED(status), f"the child ended by itself: {announced[-3:]}"
    return max([int(line.split()[1]) for line in announced if line.startswith("saved ")], default=0)


def linked_values(place):
    """The values that somebody reads who loads the model directory now."""
    shards = [path for path in place.glob("*.safetensors") if path.exists()]
    return [value for shard in shards for tensor in load_file(shard).values() for value in tensor.unique().tolist()]


def run(root, kills, seed):
    """Kill `kills` times; return how many steps were committed and how many kills left a temporary directory."""
    rng = random.Random(seed)
    newest = interrupted = 0
    for _ in range(kills):
        newest = max(newest, one_kill(root, rng))
        store = CheckpointStore(root)
        latest = store.latest(on_damage="raise")
        found = 0 if latest is None else latest.step
        assert found >= newest, f"went backwards: step {newest} was committed, the newest is {found}"
        if latest is not None:
            assert generation(store, latest) == latest.step
        assert all(store.verify(ref) == [] for ref in store.list())
        assert len(set(linked_values(root.parent))) < 2, "the links mix two checkpoints"
        newest = found
        interrupted += any(root.glob("*.tmp-*"))
    return newest, interrupted


def small_store(root):
    return CheckpointStore(root, keep=2, max_shard_bytes=40, links=root.parent)


def save_with_a_fatal_operation(root, step, value, number):
    """Save, and be killed just before the file operation `number`."""
    count = 0

    def count_down(event, arguments):
        nonlocal count
        count += event in OPERATIONS
        if event in OPERATIONS and count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count_down)
    small_store(root).save(step, components(value, 10))


def kill_at_operation(place, step, number):
    """With steps 1 and 2 saved, get killed while saving `step` as value 30, look at what is left, and go on."""
    shutil.rmtree(place, ignore_errors=True)
    root = place / "checkpoints"
    for earlier in (1, 2):
        small_store(root).save(earlier, components(10 * earlier, 10))
    child = multiprocessing.get_context("fork").Process(
        target=save_with_a_fatal_operation, args=(root, step, 30, number)
    )
    child.start()
    child.join()
    killed = child.exitcode == -signal.SIGKILL
    assert killed or child.exitcode == 0, f"the child ended with {child.exitcode}"
    store = small_store(root)
    assert all(store.verify(ref) == [] for ref in store.list()), f"operation {number} leaves a damaged checkpoint"
    latest = store.latest(on_damage="raise")
    assert latest.step in {2, step}, f"operation {number} goes back to {latest.step}"
    value = generation(store, latest, 10)
    assert value == (20 if latest.step != step else 30) or (value == 20 and step == 2)
    assert killed or (latest.step, value) == (step, 30)
    linked = set(linked_values(place))
    assert linked <= {20.0} or linked <= {30.0}, f"operation {number} leaves links to {linked}"
    store.save(4, components(40, 10))
    assert set(linked_values(place)) == {40.0}
    left = {path.name for path in root.iterdir()}
    assert left == {"last", f"checkpoint-{latest.step}", "checkpoint-4"}, f"operation {number} leaves {left}"
    return killed


def run_operations():
    """Kill before every operation of a save of a new step, and of one that exists; return how many there were."""
    kills = 0
    for step in (3, 2):
        with tempfile.TemporaryDirectory() as place:
            number = 1
            while kill_at_operation(Path(place, "model"), step, number):
                number += 1
            kills += number - 1
    return kills


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--operations", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.operations:
        sys.stdout.write(f"operations {run_operations()}\n")
        return
    with tempfile.TemporaryDirectory() as place:
        newest, interrupted = run(Path(place, "checkpoints"), args.kills, args.seed)
    sys.stdout.write(f"kills {args.kills} newest {newest} interrupted {interrupted}\n")


if __name__ == "__main__":
    main()
