"""Multi-head attention with grouped key and value heads (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.cache_utils import Cache

from .rotary import apply_rotary


def eager_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, dropout_p: float, is_causal: bool
) -> Tensor:
    """Attention spelled out, the reference for every other implementation; softmax in fp32.

    query (batch, heads, q, d), key and value (batch, kv_heads, k, d) → (batch, heads, q, d). A boolean mask is True
    where attention is allowed; any other mask is added to the scores.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = (query @ key.transpose(-2, -1)).float() * query.shape[-1] ** -0.5
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        scores = scores + attn_mask
    weights = F.dropout(scores.softmax(dim=-1), dropout_p)
    return weights.to(value.dtype) @ value


def sdpa_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, dropout_p: float, is_causal: bool
) -> Tensor:
    """The same by torch's fused `scaled_dot_product_attention`."""
    grouped = query.shape[1] != key.shape[1]
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=is_causal, enable_gqa=grouped
    )


IMPLEMENTATIONS = {"eager": eager_attention, "sdpa": sdpa_attention}


class CausalMultiheadAttention(nn.Module):
    """Project to heads, rotate queries and keys, attend to the past, project back.

    `qk_norm_factory(head_dim)` makes the norms of queries and keys (Henry et al. 2020,
    https://arxiv.org/abs/2010.04245).
    """

    def __init__(
        self,
        *,
        hidden_size: int,
        num_attention_heads: int,
        num_key_value_heads: int | None = None,
        head_dim: int | None = None,
        layer_idx: int,
        attn_implementation: str = "sdpa",
        attention_dropout: float = 0.0,
        bias: bool = False,
        qk_norm_factory: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        key_value_heads = num_key_value_heads or num_attention_heads
        if num_attention_heads % key_value_heads:
            raise ValueError(f"{num_attention_heads=} is not a multiple of num_key_value_heads={key_value_heads}")
        if attn_implementation not in IMPLEMENTATIONS:
            raise ValueError(f"{attn_implementation=} is not one of {sorted(IMPLEMENTATIONS)}")
        self.layer_idx = layer_idx
        self.head_dim = head_dim or hidden_size // num_attention_heads
        self.attention_dropout = attention_dropout
        self.attend = IMPLEMENTATIONS[attn_implementation]

        query_size, key_value_size = num_attention_heads * self.head_dim, key_value_heads * self.head_dim
        self.query_linear = nn.Linear(hidden_size, query_size, bias=bias)
        self.key_linear = nn.Linear(hidden_size, key_value_size, bias=bias)
        self.value_linear = nn.Linear(hidden_size, key_value_size, bias=bias)
        self.output_linear = nn.Linear(query_size, hidden_size, bias=bias)
        self.query_norm = qk_norm_factory(self.head_dim) if qk_norm_factory else nn.Identity()
        self.key_norm = qk_norm_factory(self.head_dim) if qk_norm_factory else nn.Identity()

    def split_heads(self, projected: Tensor) -> Tensor:
        """(batch, seq, heads · head_dim) → (batch, heads, seq, head_dim)."""
        return projected.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def forward(
        self,
        hidden_states: Tensor,
        *,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
    ) -> Tensor:
        """(batch, seq, hidden) → (batch, seq, hidden). Without a mask a query sees every earlier key."""
        query = self.query_norm(self.split_heads(self.query_linear(hidden_states)))
        key = self.key_norm(self.split_heads(self.key_linear(hidden_states)))
        value = self.split_heads(self.value_linear(hidden_states))
        if position_embeddings is not None:
            query, key = apply_rotary(query, *position_embeddings), apply_rotary(key, *position_embeddings)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)

        dropout_p = self.attention_dropout if self.training else 0.0
        is_causal = attention_mask is None and query.shape[2] > 1
        context = self.attend(query, key, value, attention_mask, dropout_p, is_causal)
        return self.output_linear(context.transpose(1, 2).flatten(2))
