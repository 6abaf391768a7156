"""Scenarios of a job with two processes and gloo: `python rank_scenarios.py SCENARIO DIRECTORY`.

Each process asserts for itself; the exit code is 0 when all did.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from fg_checkpoint import (
    CheckpointStore,
    DamagedCheckpointError,
    IncompatibleCheckpointError,
    ReplicationError,
    RNGState,
    SaveError,
    SharingPattern,
    StateComponent,
    UnsupportedStateError,
    Validation,
)

WORLD = 2


class Holder:
    def __init__(self, state=None):
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def raised(error_type, work):
    try:
        work()
    except error_type as error:
        assert type(error) is error_type, type(error)
        return str(error)
    raise AssertionError(f"no {error_type.__name__}")


def components(rank, *, fresh=False):
    def holder(state):
        return Holder(None if fresh else state)

    pair = dist.new_group([0, 1])
    alone = [dist.new_group([0]), dist.new_group([1])][rank]
    weights = {"w": torch.arange(6.0), "tied": torch.ones(2)}
    weights["also"] = weights["tied"]
    return [
        StateComponent(
            key="model", stateful=Holder(weights), pattern=SharingPattern.REPLICATED, validate=Validation.TENSOR
        ),
        StateComponent(key="job", stateful=holder({"step": 3 if rank == 0 else -1}), pattern=SharingPattern.GLOBAL),
        StateComponent(key="mine", stateful=holder({"rank": rank}), pattern=SharingPattern.PER_RANK),
        StateComponent(key="rng", stateful=RNGState(), pattern=SharingPattern.PER_RANK),
        StateComponent(key="pair", stateful=holder(["pair", rank]), pattern=SharingPattern.PER_GROUP, group=pair),
        StateComponent(key="alone", stateful=holder(["alone", rank]), pattern=SharingPattern.PER_GROUP, group=alone),
        StateComponent(key="node", stateful=holder(["node", rank]), pattern=SharingPattern.PER_NODE),
    ]


def save_and_load(rank, root):
    store = CheckpointStore(root / "checkpoints", links=root)
    random.seed(rank)
    store.save(1, components(rank))
    ref = store.save(2, components(rank), wait=False).wait()
    expected = random.random()
    latest = store.latest()
    assert latest == ref, (latest, ref)
    back = components(rank, fresh=True)
    report = store.load(latest, back)
    assert report.loaded == ("model", "job", "mine", "rng", "pair", "alone", "node")
    states = {part.key: part.stateful.state_dict() for part in back}
    assert torch.equal(states["model"]["w"], torch.arange(6.0))
    assert states["job"] == {"step": 3}
    assert states["mine"] == {"rank": rank}
    assert states["pair"] == ["pair", 0]
    assert states["alone"] == ["alone", rank]
    assert states["node"] == ["node", 0]
    assert random.random() == expected
    parts = ref.manifest.components
    assert {label: part.ranks for label, part in parts["mine"].parts.items()} == {
        "rank-00000": (0,),
        "rank-00001": (1,),
    }
    assert {label: part.ranks for label, part in parts["pair"].parts.items()} == {"group-00000": (0, 1)}
    assert set(parts["alone"].parts) == {"group-00000", "group-00001"}
    assert ref.manifest.world_size == WORLD


def divergence(rank, root):
    store = CheckpointStore(root)
    for level, says in ((Validation.TENSOR, "tensor 'b'"), (Validation.QUICK, "its state")):
        state = {"a": torch.ones(3), "b": torch.ones(3) * (1 + rank * 1e-7)}
        part = StateComponent(key="model", stateful=Holder(state), pattern=SharingPattern.REPLICATED, validate=level)
        if rank == 0:
            message = raised(ReplicationError, lambda part=part: store.save(1, [part]))
            assert f"rank 1 differs from rank 0: {says}" in message, message
        else:
            assert "differs from rank 0" in raised(SaveError, lambda part=part: store.save(1, [part]))
    assert store.list() == []
    dist.barrier()
    assert list(root.iterdir()) == []


def failure_on_one_rank(rank, root):
    store = CheckpointStore(root)
    good = [StateComponent(key="mine", stateful=Holder({"rank": rank}), pattern=SharingPattern.PER_RANK)]
    store.save(1, good)
    bad = [StateComponent(key="mine", stateful=Holder(object() if rank else 1), pattern=SharingPattern.PER_RANK)]
    message = raised(UnsupportedStateError if rank else SaveError, lambda: store.save(2, bad))
    assert "builtins.object cannot be saved" in message
    assert rank == 1 or "rank 1: UnsupportedStateError" in message
    some = good + [StateComponent(key="x", stateful=Holder(1), pattern=SharingPattern.GLOBAL)] * (rank == 0)
    assert "not given on ranks [1]" in raised(SaveError, lambda: store.save(3, some))
    assert [ref.step for ref in store.list()] == [1]
    store.save(4, good)
    dist.barrier()
    if rank == 0:
        (root / "checkpoint-4" / "mine.rank-00001.json").write_text("{}")
    dist.barrier()
    assert store.latest().step == 1
    newest = store.list()[-1]
    message = raised(DamagedCheckpointError if rank else SaveError, lambda: store.load(newest, good))
    assert "mine.rank-00001.json" in message


def another_world_size(rank, root):
    store = CheckpointStore(root)
    mine = [StateComponent(key="mine", stateful=Holder({"rank": rank}), pattern=SharingPattern.PER_RANK)]
    store.save(1, mine)
    dist.destroy_process_group()
    join(root.parent, rank, "second_rendezvous")
    assert store.load(store.latest(), mine).loaded == ("mine",)
    dist.destroy_process_group()
    if rank == 0:
        alone = CheckpointStore(root)
        message = raised(IncompatibleCheckpointError, lambda: alone.load(alone.latest(), mine))
        assert "saved by 2 ranks; this job has 1" in message, message
        assert alone.load(alone.latest(), mine, skip=["mine"]).skipped == ("mine",)


SCENARIOS = {f.__name__: f for f in (save_and_load, divergence, failure_on_one_rank, another_world_size)}


def join(root, rank, name="rendezvous"):
    rendezvous = dist.FileStore(str(root / name), WORLD)
    dist.init_process_group("gloo", store=rendezvous, rank=rank, world_size=WORLD, timeout=timedelta(seconds=40))


def one_rank(name, root, rank):
    join(root, rank)
    work = root / "work"
    work.mkdir(exist_ok=True)
    SCENARIOS[name](rank, work)
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def main():
    name, root = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    fork = multiprocessing.get_context("fork")  # torch is imported already: half the start-up time
    children = [fork.Process(target=one_rank, args=(name, root, rank)) for rank in range(WORLD)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    sys.exit(0 if [child.exitcode for child in children] == [0] * WORLD else 1)


if __name__ == "__main__":
    main()
