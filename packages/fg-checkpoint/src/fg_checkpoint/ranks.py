"""Which process this is among those that save together, and how they exchange small facts.

Facts travel as JSON, never pickled, over a gloo group of our own: a save that runs in the background
must not share a group with the collectives of training, whose order it would disturb.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from fg_checkpoint.errors import SaveError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import ProcessGroup


T = TypeVar("T")


class Ranks:
    """The only process of its job."""

    rank = 0
    world_size = 1
    local_rank = 0
    node_rank = 0

    def all_gather(self, value: Any) -> list[Any]:
        """The JSON values of all ranks, in rank order. Every rank must call it."""
        return [value]


class DistributedRanks(Ranks):
    """A process of an initialised `torch.distributed` job (created on all ranks together)."""

    def __init__(self) -> None:
        import torch.distributed as dist

        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()
        local_world_size = int(os.environ.get("LOCAL_WORLD_SIZE", self.world_size))
        self.local_rank = int(os.environ.get("LOCAL_RANK", self.rank % local_world_size))
        self.node_rank = int(os.environ.get("GROUP_RANK", self.rank // local_world_size))
        self.world = dist.group.WORLD
        self._group = dist.new_group(backend="gloo")

    def all_gather(self, value: Any) -> list[Any]:
        import torch

        body = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        sizes = [int(size) for size in self._gather(torch.tensor([body.numel()]))]
        padded = torch.zeros(max(sizes), dtype=torch.uint8)
        padded[: body.numel()] = body
        bodies = self._gather(padded)
        return [json.loads(other[:size].numpy().tobytes()) for other, size in zip(bodies, sizes, strict=True)]

    def _gather(self, tensor: Tensor) -> list[Tensor]:
        import torch
        import torch.distributed as dist

        parts = [torch.empty_like(tensor) for _ in range(self.world_size)]
        dist.all_gather(parts, tensor, group=self._group)
        return parts


def current_ranks(known: Ranks | None = None) -> Ranks:
    """The ranks of this process now; `known` is reused while it still describes them."""
    dist = sys.modules.get("torch.distributed")  # a process that never imported torch is alone
    if dist is None or not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return known if type(known) is Ranks else Ranks()
    if isinstance(known, DistributedRanks) and known.world is dist.group.WORLD:
        return known
    return DistributedRanks()


def group_ranks(group: ProcessGroup | Sequence[int]) -> list[int]:
    """The global ranks of a process group, ascending."""
    if isinstance(group, Sequence):
        return sorted(group)
    import torch.distributed as dist

    return sorted(dist.get_process_group_ranks(group))


def together(ranks: Ranks, work: Callable[[], T], share: Callable[[T], Any]) -> tuple[T, list[Any]]:
    """Run `work` here, then exchange `share(result)`; when it failed on any rank, raise on all of them.

    Returns:
        The result of this rank, and what every rank shared, in rank order.

    Raises:
        SaveError: the work failed on another rank; a failure on this rank is raised as it is.
    """
    failure: Exception | None = None
    result: Any = None
    try:
        result = work()
        message = {"shared": share(result)}
    except Exception as error:  # noqa: BLE001 - whatever it is, the other ranks must not wait for us for ever
        failure = error
        message = {"failed": f"{type(error).__name__}: {error}"}
    messages = ranks.all_gather(message)
    if failure is not None:
        raise failure
    failed = [f"  rank {rank}: {other['failed']}" for rank, other in enumerate(messages) if "failed" in other]
    if failed:
        raise SaveError("\n".join(["given up, because another rank failed:", *failed]))
    return result, [other["shared"] for other in messages]
