"""A small causal language model and token data for it, on one thread so that every sum has one order."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn


class TinyCausalLM(nn.Module):
    """Embedding, one causal attention layer, output projection: the smallest model whose tokens see each other."""

    can_return_hidden_states = True

    def __init__(self, vocab_size: int = 50, hidden_size: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, hidden_size)
        self.query = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)
        self.lm_head = nn.Linear(hidden_size, vocab_size, bias=False)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embedding

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def forward(self, input_ids: Tensor, position_ids: Tensor | None = None, return_hidden_states: bool = False):
        hidden = self.embedding(input_ids)
        mask = torch.ones(input_ids.shape[1], input_ids.shape[1], dtype=torch.bool).tril()[None]
        if position_ids is not None:
            document = (position_ids == 0).cumsum(1)
            mask = mask & (document[:, :, None] == document[:, None, :])
        scores = self.query(hidden) @ hidden.mT / hidden.shape[-1] ** 0.5
        hidden = self.norm(hidden + scores.masked_fill(~mask, float("-inf")).softmax(-1) @ hidden)
        return hidden if return_hidden_states else SimpleNamespace(logits=self.lm_head(hidden))


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_model():
    """Models with the same weights every time."""

    def make(dtype: torch.dtype = torch.float32) -> TinyCausalLM:
        torch.manual_seed(3)
        return TinyCausalLM().to(dtype)

    return make


@pytest.fixture
def rows() -> list[list[int]]:
    """120 token sequences of different lengths with something to learn in them."""
    generator = torch.Generator().manual_seed(11)
    lengths = torch.randint(5, 14, (120,), generator=generator).tolist()
    starts = torch.randint(0, 50, (120,), generator=generator).tolist()
    return [[(start + 3 * i) % 50 for i in range(length)] for start, length in zip(starts, lengths, strict=True)]
