"""SIGKILL at random instants of saving, and what is left is looked at: `python kill_schedule.py --kills 200`.

A child resumes from the newest intact checkpoint and saves one step after the other, partly in the background. It
announces every step before it begins to save it and after it is committed. The parent kills it at a random instant,
then checks that

- the newest checkpoint verifies, and no committed one is damaged;
- it is not older than the last step that was announced as committed (never backwards);
- all its contents are of one generation, and so are the weights that the model directory links to.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from fg_checkpoint import CheckpointStore, SharingPattern, StateComponent

VALUES = 200_000


class Holder:
    def __init__(self, state=None):
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def components(step):
    """State that says in every part of which generation it is."""
    model = {"a": torch.full((VALUES,), float(step)), "b": torch.full((VALUES,), float(step))}
    optimizer = {"state": {0: {"exp_avg": torch.full((VALUES,), float(step)), "step": step}}}
    states = {"model": model, "optimizer": optimizer, "dataset": {"position": step}}
    return [StateComponent(key=k, stateful=Holder(v), pattern=SharingPattern.GLOBAL) for k, v in states.items()]


def generation(store, ref):
    """The one step that all contents of a checkpoint say."""
    parts = components(-1)
    store.load(ref, parts)
    model, optimizer, dataset = (part.stateful.state for part in parts)
    first = optimizer["state"][0]
    values = torch.cat([model["a"], model["b"], first["exp_avg"]]).unique().tolist()
    said = {*values, float(first["step"]), float(dataset["position"])}
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        newest, interrupted = run(Path(place, "checkpoints"), args.kills, args.seed)
    sys.stdout.write(f"kills {args.kills} newest {newest} interrupted {interrupted}\n")


if __name__ == "__main__":
    main()
