"""Whole tensors and shards: what an update needs when it is not elementwise and the parameter may be a DTensor."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """The full tensor of a DTensor, which every rank of its mesh must ask for; any other tensor itself."""
    full_tensor = getattr(tensor, "full_tensor", None)
    return tensor if full_tensor is None else full_tensor()


def replicated(tensor: Tensor, like: Tensor) -> Tensor:
    """Make `tensor`, equal on all ranks, an operand for the DTensor `like`; itself if `like` is none."""
    mesh = getattr(like, "device_mesh", None)
    if mesh is None:
        return tensor
    from torch.distributed.tensor import DTensor, Replicate

    return DTensor.from_local(tensor, mesh, [Replicate()] * mesh.ndim, run_check=False)


def own_part(tensor: Tensor, like: Tensor) -> Tensor:
    """Cut from `tensor`, whole and equal on all ranks, what this rank holds of `like`; nothing is communicated."""
    spread = replicated(tensor, like)
    if spread is tensor:
        return tensor
    return cast(Any, spread).redistribute(placements=cast(Any, like).placements).to_local()
