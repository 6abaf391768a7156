"""Absolute positions as sines and cosines (Vaswani et al. 2017, section 3.5 of https://arxiv.org/abs/1706.03762)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SinusoidalPositions(nn.Module):
    """A vector for each position, to be added to the token's: sines in the first half of the channels, cosines in the
    second. It has no parameters and no buffer, so that no conversion to half precision can round its frequencies.

    `amplitude` should be of the size of the token vectors, or one drowns the other.
    """

    def __init__(self, hidden_size: int, *, amplitude: float = 1.0, base: float = 10000.0) -> None:
        super().__init__()
        if hidden_size % 2:
            raise ValueError(f"sines and cosines need an even hidden_size, not {hidden_size}")
        self.hidden_size = hidden_size
        self.amplitude = amplitude
        self.base = base

    def forward(self, position_ids: Tensor, dtype: torch.dtype) -> Tensor:
        """position_ids (batch or 1, seq) → (batch or 1, seq, hidden)."""
        half = self.hidden_size // 2
        exponents = torch.arange(half, dtype=torch.float32, device=position_ids.device) / half
        angles = position_ids[..., None].float() * self.base**-exponents
        return (self.amplitude * torch.cat((angles.sin(), angles.cos()), dim=-1)).to(dtype)
