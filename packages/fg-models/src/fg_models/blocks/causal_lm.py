"""The body of a causal language model: everything but the projection to the vocabulary."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache


class CausalLM(nn.Module):
    """Encode tokens, compute positions and mask once, run the layers.

    `attn_mask_fn` has the signature of `causal_mask`. `position_encoder(position_ids, dtype)` gives each layer what
    it needs to know about positions, `absolute_encoder(position_ids, dtype)` a vector to add to each token's.
    """

    def __init__(
        self,
        *,
        input_encoder: nn.Module,
        layer_stack: nn.Module,
        attn_mask_fn: Callable[..., Tensor | None],
        position_encoder: nn.Module | None = None,
        absolute_encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.input_encoder = input_encoder
        self.position_encoder = position_encoder
        self.absolute_encoder = absolute_encoder
        self.layer_stack = layer_stack
        self.attn_mask_fn = attn_mask_fn

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """input_ids (batch, seq), or inputs_embeds (batch, seq, hidden) → hidden states (batch, seq, hidden)."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        hidden_states = self.input_encoder(input_ids) if inputs_embeds is None else inputs_embeds
        length, device = hidden_states.shape[1], hidden_states.device
        mask = self.attn_mask_fn(
            length,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            device=device,
        )
        if position_ids is None:
            seen = 0 if past_key_values is None else past_key_values.get_seq_length()
            position_ids = torch.arange(length, device=device)[None] + seen
        if self.absolute_encoder is not None:
            hidden_states = hidden_states + self.absolute_encoder(position_ids, hidden_states.dtype)
        positions = None
        if self.position_encoder is not None:
            positions = self.position_encoder(position_ids, hidden_states.dtype)
        return self.layer_stack(
            hidden_states, position_embeddings=positions, attention_mask=mask, past_key_values=past_key_values
        )
