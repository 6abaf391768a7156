"""Gated feed-forward layer (Shazeer 2020, https://arxiv.org/abs/2002.05202); with SiLU it is SwiGLU."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class GLUFeedforward(nn.Module):
    """down(activation(gate(x)) · up(x)): (..., hidden) → (..., hidden)."""

    def __init__(
        self,
        *,
        hidden_size: int,
        intermediate_size: int,
        activation_factory: Callable[[], nn.Module] = nn.SiLU,
        activation_dropout: float = 0.0,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=bias)
        self.activation = activation_factory()
        self.dropout = nn.Dropout(activation_dropout) if activation_dropout else nn.Identity()

    def forward(self, hidden_states: Tensor) -> Tensor:
        gated = self.activation(self.gate_proj(hidden_states)) * self.up_proj(hidden_states)
        return self.down_proj(self.dropout(gated))
