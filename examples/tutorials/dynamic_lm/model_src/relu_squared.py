"""The activation found by the search of So et al. 2021 (Primer, https://arxiv.org/abs/2109.08668)."""

from __future__ import annotations

from torch import Tensor, nn


class ReLUSquared(nn.Module):
    """max(x, 0)², element by element."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(x).square()
