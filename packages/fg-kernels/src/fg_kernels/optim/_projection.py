"""Random projections that every rank, and a resumed run, draws alike."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fg_kernels.philox import name_hash, philox4x32

_MASK = 0xFFFF_FFFF


def random_projection(
    rank: int, dim: int, *, seed: int, name: str, number: int | Tensor, device: torch.device | str
) -> Tensor:
    """Draw a matrix of independent normal numbers of variance `1 / rank`, which keeps lengths in expectation.

    It is a function of its arguments (Philox4x32-7 and the transform of Box and Muller), not of a generator's state.

    Args:
        rank: rows.
        dim: columns.
        seed: of the run.
        name: of the parameter, told from its rounding noise by a suffix.
        number: which draw of this parameter; or a 0-d integer tensor on `device`.
        device: where the result lives.

    Returns:
        fp32 (rank, dim).
    """
    hashed = name_hash(f"{name}#projection")
    blocks = torch.arange(-(-rank * dim // 4), dtype=torch.int64, device=device)
    counter = (blocks, number & _MASK, hashed & _MASK, hashed >> 32)
    words = philox4x32(counter, (seed & _MASK, seed >> 32 & _MASK))
    a, b, c, d = ((torch.as_tensor(word).double() + 0.5) / 2.0**32 for word in words)
    normal = torch.stack((*_box_muller(a, b), *_box_muller(c, d)), dim=-1)
    return (normal.view(-1)[: rank * dim].view(rank, dim) / math.sqrt(rank)).float()


def _box_muller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Turn two uniform numbers inside (0, 1) into two independent normal ones."""
    radius, angle = (-2 * first.log()).sqrt(), second * (2 * math.pi)
    return radius * angle.cos(), radius * angle.sin()
