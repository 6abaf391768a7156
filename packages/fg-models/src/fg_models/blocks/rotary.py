"""Rotary position embedding (Su et al. 2021, https://arxiv.org/abs/2104.09864)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def llama3_scaled(inverse_frequencies: Tensor, parameters: Mapping[str, Any]) -> Tensor:
    """Stretch the slow rotations by `factor`, keep the fast ones, blend between (Llama 3.1, section 3.4.2 of
    https://arxiv.org/abs/2407.21783). (head_dim / 2,) → (head_dim / 2,)."""
    factor, original_length = parameters["factor"], parameters["original_max_position_embeddings"]
    low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
    turns = original_length * inverse_frequencies / (2 * math.pi)  # rotations within the original context
    keep = ((turns - low) / (high - low)).clamp(0.0, 1.0)
    return (1.0 - keep) * inverse_frequencies / factor + keep * inverse_frequencies


class RotaryEmbedding(nn.Module):
    """The cosine and sine of every position's rotation, computed once per forward and shared by all layers.

    The frequencies are not a buffer: a buffer would be rounded by `model.to(bfloat16)` and lost by construction
    on the meta device. They are recomputed when the device changes.
    """

    def __init__(self, head_dim: int, rope_parameters: Mapping[str, Any]) -> None:
        super().__init__()
        if head_dim < 2 or head_dim % 2:
            raise ValueError(
                f"rotary positions turn pairs of channels, so {head_dim=} must be even: choose another "
                "num_attention_heads (head_dim is hidden_size // num_attention_heads unless the config sets it)"
            )
        self.head_dim = head_dim
        self.rope_parameters = dict(rope_parameters)
        self._cached: Tensor | None = None
        rope_type = self.rope_parameters.get("rope_type", "default")
        if rope_type not in ("default", "linear", "llama3"):
            raise ValueError(f"rope_type {rope_type!r} is not one of 'default', 'linear', 'llama3'")

    def inverse_frequencies(self, device: torch.device) -> Tensor:
        """Radians per position of each pair of channels, (head_dim / 2,) in fp32."""
        if self._cached is None or self._cached.device != device:
            parameters = self.rope_parameters
            exponents = torch.arange(0, self.head_dim, 2, dtype=torch.float32, device=device) / self.head_dim
            frequencies = 1.0 / parameters.get("rope_theta", 10000.0) ** exponents
            if parameters.get("rope_type") == "linear":
                frequencies = frequencies / parameters["factor"]
            elif parameters.get("rope_type") == "llama3":
                frequencies = llama3_scaled(frequencies, parameters)
            self._cached = frequencies
        return self._cached

    def forward(self, position_ids: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """position_ids (batch or 1, seq) → cos, sin, each (batch or 1, 1, seq, head_dim)."""
        angles = position_ids[:, None, :, None].float() * self.inverse_frequencies(position_ids.device)
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos().to(dtype), angles.sin().to(dtype)


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate channel pairs (i, i + head_dim / 2) of x (batch, heads, seq, head_dim)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
