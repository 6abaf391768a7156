"""Text rows to token ids."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fg_trainers.errors import DatasetError

if TYPE_CHECKING:
    from fg_data_server import RowBatch, RowSource


class TokenizeText:
    """Encodes one text column; each document becomes [BOS] tokens [EOS] (1-d int64).

    EOS is a label like any other token: a model that never sees it learnt never stops.

    Args:
        tokenizer: a fast Hugging Face tokenizer.
        feature: the column that holds the text.
        add_bos, add_eos: frame each document; asking for a token the tokenizer does not have is an error.
    """

    def __init__(self, tokenizer: Any, feature: str = "text", *, add_bos: bool = True, add_eos: bool = True) -> None:
        self._tokenizer = tokenizer
        self._feature = feature
        self._head = self._special("bos_token", add_bos)
        self._tail = self._special("eos_token", add_eos)
        self.id = self._identity()

    def __call__(self, batch: RowBatch) -> list[NDArray[np.int64]]:
        texts = list(batch.column(self._feature))
        encoded = self._tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []
        return [np.array([*self._head, *ids, *self._tail], dtype=np.int64) for ids in encoded]

    def characters_per_token(self, source: RowSource) -> float:
        """Characters of all rows divided by their predicted tokens (EOS counts, BOS is never predicted)."""
        characters = tokens = 0
        for start in range(0, source.num_rows, 1024):
            batch = source.take(np.arange(start, min(start + 1024, source.num_rows)))
            characters += sum(len(text) for text in batch.column(self._feature))
            tokens += sum(len(ids) - len(self._head) for ids in self(batch))
        return characters / max(1, tokens)

    def _special(self, name: str, wanted: bool) -> list[int]:
        if not wanted:
            return []
        token = getattr(self._tokenizer, f"{name}_id", None)
        if token is None:
            raise DatasetError(f"the tokenizer has no {name}; set add_{name[:3]}: false, or give it one")
        return [token]

    def _identity(self) -> str:
        """Changes when the same text would give other ids: a cursor of other ids must not be continued."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        text = backend.to_str() if backend is not None else repr(sorted(self._tokenizer.get_vocab().items()))
        digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        return f"tokenize:{digest}:{self._feature}:{self._head}:{self._tail}"
