"""Optimizers in a job of two processes and gloo: `python optimizer_ranks.py SCENARIO DIRECTORY`.

Each process asserts for itself; the exit code is 0 when all did.
"""

from __future__ import annotations

import copy
import multiprocessing
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Shard, distribute_tensor

from fg_kernels import optim
from fg_kernels.memory import OptimizerInBackward

WORLD = 2
WIDTHS = (6, 11, 5, 8)


def muon_and_adamw(named):
    factories = {"muon": lambda p: optim.Muon(p, lr=1e-2), "adamw": lambda p: optim.AdamW(p, lr=1e-2)}
    return optim.make_re_multiopt(named, [("weight", "muon"), (".*", "adamw")], factories)


# Whether a shard's update is that of the whole to the bit: yes where it is elementwise, or made from gathered parts.
BUILDERS = {
    "adamw": (lambda named: optim.AdamW(named, lr=1e-2), True),
    "adamw, bf16 state": (lambda named: optim.AdamW(named, lr=1e-2, state_dtype=torch.bfloat16), True),
    "sgd": (lambda named: optim.SGD(named, lr=0.1, momentum=0.9), True),
    "muon": (muon_and_adamw, True),
    "adafactor": (lambda named: optim.Adafactor(named, lr=1e-2), False),
    "apollo": (lambda named: optim.Apollo(named, lr=1e-2, rank=2, update_steps=2), False),
    "apollo-mini": (lambda named: optim.Apollo(named, lr=1e-2, mini=True, scale=4.0), False),
    "sinkgd": (lambda named: optim.SinkGD(named, lr=1e-2, normalize_output=False), False),
    "sinkgd, capturable": (lambda named: optim.SinkGD(named, lr=torch.tensor(0.1), capturable=True), False),
    "apollo, capturable": (lambda named: optim.Apollo(named, lr=torch.tensor(0.01), rank=2, capturable=True), False),
}


def model(dtype=torch.bfloat16):
    torch.manual_seed(0)
    layers = [nn.Linear(a, b) for a, b in pairwise(WIDTHS)]
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]).to(dtype)


def sharded(dtype=torch.bfloat16):
    module = model(dtype)
    for layer in module[::2]:
        fully_shard(layer)
    return fully_shard(module)


def backward(module, step, rank=0):
    generator = torch.Generator().manual_seed(10 * step + rank)
    x = torch.randn(16, WIDTHS[0], generator=generator).to(next(module.parameters()).dtype)
    module(x).float().square().mean().backward()


def train(module, optimizer, steps):
    """The same data on every rank, so that the mean over ranks is each one's gradient."""
    for step in steps:
        backward(module, step)
        optimizer.step()
        optimizer.zero_grad()


def wholes(module):
    return {name: p.full_tensor() if hasattr(p, "full_tensor") else p.detach() for name, p in module.named_parameters()}


def assert_equal_bits(label, one, other):
    for name, values in wholes(other).items():
        assert torch.equal(wholes(one)[name], values), (label, name)


def replicas(rank):
    """Ranks with data of their own, whose gradients are averaged, stay equal to the bit."""
    for label, (build, _) in BUILDERS.items():
        module = model()
        start = copy.deepcopy(module)
        optimizer = build(module.named_parameters())
        for step in range(5):
            backward(module, step, rank)
            for parameter in module.parameters():
                dist.all_reduce(parameter.grad)
                parameter.grad /= WORLD
            optimizer.step()
            optimizer.zero_grad()
        for (name, parameter), first in zip(module.named_parameters(), start.parameters(), strict=True):
            copies = [torch.empty_like(parameter) for _ in range(WORLD)]
            dist.all_gather(copies, parameter.detach())
            assert torch.equal(copies[0], copies[1]), (label, name)
            assert not torch.equal(parameter, first), (label, name)


def shards(rank):
    """FSDP2 gives what one process gives; 11 and 5 rows over two ranks are uneven shards."""
    for label, (build, exact) in BUILDERS.items():
        for dtype in (torch.bfloat16, torch.float32):
            alone, spread = model(dtype), sharded(dtype)
            train(alone, build(alone.named_parameters()), range(4))
            train(spread, build(spread.named_parameters()), range(4))
            if exact:
                assert_equal_bits((label, dtype), spread, alone)
                continue
            for name, values in wholes(alone).items():
                # Sums in another order move an fp32 value by an ulp, which may round a bf16 weight the other way.
                tolerance = {"rtol": 2**-7, "atol": 1e-5} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-6}
                torch.testing.assert_close(wholes(spread)[name], values, **tolerance, msg=f"{label} {name}")


def columns(rank):
    """Shards of columns, as tensor parallelism cuts them: wide and tall matrices, of uneven shards."""
    mesh = init_device_mesh("cpu", (WORLD,))
    for label, (build, exact) in BUILDERS.items():
        generator = torch.Generator().manual_seed(0)
        shapes = {"wide.weight": (6, 11), "tall.weight": (12, 5)}
        values = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        whole = {name: nn.Parameter(value.clone()) for name, value in values.items()}
        cut = {name: nn.Parameter(distribute_tensor(value, mesh, [Shard(1)])) for name, value in values.items()}
        one, other = build(list(whole.items())), build(list(cut.items()))
        for _ in range(4):
            for name in values:
                whole[name].grad = torch.randn(shapes[name], generator=generator)
                cut[name].grad = distribute_tensor(whole[name].grad, mesh, [Shard(1)])
            one.step(), other.step()
        for name, parameter in cut.items():
            tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-5, "atol": 1e-6}
            torch.testing.assert_close(
                parameter.detach().full_tensor(), whole[name].detach(), **tolerance, msg=f"{label} {name}"
            )


def resume(rank):
    """A sharded run that was stopped, saved and loaded goes on to the bit."""
    for label, (build, _) in BUILDERS.items():
        straight, stopped, resumed = sharded(), sharded(), sharded()
        train(straight, build(straight.named_parameters()), range(5))
        first = build(stopped.named_parameters())
        train(stopped, first, range(3))
        with torch.no_grad():
            for new, old in zip(resumed.parameters(), stopped.parameters(), strict=True):
                new.copy_(old)
        second = build(resumed.named_parameters())
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        train(resumed, second, range(3, 5))
        assert_equal_bits(label, resumed, straight)


def in_backward(rank):
    """Updates inside the backward pass of FSDP2: the same bits, and the norm over all ranks."""
    for label, (build, _) in BUILDERS.items():
        after, inside = sharded(), sharded()
        optimizer, fused = build(after.named_parameters()), OptimizerInBackward(build(inside.named_parameters()))
        for step in range(3):
            backward(after, step)
            expected = nn.utils.get_total_norm([p.grad.full_tensor().float() for p in after.parameters()])
            optimizer.step()
            optimizer.zero_grad()
            backward(inside, step)
            assert all(p.grad is None for p in inside.parameters()), label
            torch.testing.assert_close(fused.finish(), expected, msg=label)
        assert_equal_bits(label, inside, after)


SCENARIOS = {work.__name__: work for work in (replicas, shards, columns, resume, in_backward)}


def one_rank(scenario, store, rank):
    file = dist.FileStore(str(store), WORLD)
    dist.init_process_group("gloo", store=file, rank=rank, world_size=WORLD, timeout=timedelta(seconds=30))
    SCENARIOS[scenario](rank)
    dist.destroy_process_group()


def main():
    scenario, root = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    fork = multiprocessing.get_context("fork")  # torch is imported already: half the start-up time
    ranks = [fork.Process(target=one_rank, args=(scenario, root / "store", rank)) for rank in range(WORLD)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    sys.exit(0 if [process.exitcode for process in ranks] == [0] * WORLD else 1)


if __name__ == "__main__":
    main()
