"""From token ids to the vectors that enter the first layer."""

from __future__ import annotations

from torch import Tensor, nn


class InputEncoder(nn.Module):
    """Look up token embeddings: (batch, seq) → (batch, seq, hidden)."""

    def __init__(
        self, *, vocab_size: int, hidden_size: int, embedding_dropout: float = 0.0, embedding_scale: float = 1.0
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, hidden_size)
        self.embedding_scale = embedding_scale
        self.dropout = nn.Dropout(embedding_dropout) if embedding_dropout else nn.Identity()

    def forward(self, input_ids: Tensor) -> Tensor:
        embedded = self.embedding(input_ids)
        if self.embedding_scale != 1.0:
            embedded = embedded * self.embedding_scale
        return self.dropout(embedded)
