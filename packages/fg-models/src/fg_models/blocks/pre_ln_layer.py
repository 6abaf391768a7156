"""A transformer layer that normalises before each sub-layer (Xiong et al. 2020, https://arxiv.org/abs/2002.04745)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class PreLNLayer(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x)): (batch, seq, hidden) → (batch, seq, hidden)."""

    def __init__(
        self,
        *,
        attention_factory: Callable[..., nn.Module],
        feedforward_factory: Callable[[], nn.Module],
        norm_factory: Callable[[], nn.Module],
        layer_idx: int,
        residual_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention_norm = norm_factory()
        self.attention = attention_factory(layer_idx=layer_idx)
        self.feedforward_norm = norm_factory()
        self.feedforward = feedforward_factory()
        self.dropout = nn.Dropout(residual_dropout) if residual_dropout else nn.Identity()

    def forward(self, hidden_states: Tensor, **context: Any) -> Tensor:
        attended = self.attention(self.attention_norm(hidden_states), **context)
        hidden_states = hidden_states + self.dropout(attended)
        transformed = self.feedforward(self.feedforward_norm(hidden_states))
        return hidden_states + self.dropout(transformed)
