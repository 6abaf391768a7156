"""The feed-forward layer of the first transformers (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class FeedforwardLayer(nn.Module):
    """down(activation(up(x))): (..., hidden) → (..., hidden)."""

    def __init__(
        self,
        *,
        hidden_size: int,
        intermediate_size: int,
        activation_factory: Callable[[], nn.Module] = nn.GELU,
        activation_dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=bias)
        self.activation = activation_factory()
        self.dropout = nn.Dropout(activation_dropout) if activation_dropout else nn.Identity()

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.down_proj(self.dropout(self.activation(self.up_proj(hidden_states))))
