"""Samples to padded tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from fg_data_server import Sample


IGNORED: Final = -100
"""The label of a position that is not learnt from, as everywhere in PyTorch."""


class DataCollatorForCausalLM:
    """Right-pads samples into one micro-batch for next-token training.

    Returns `input_ids` and `labels`, both (batch, seq) int64, and `position_ids` (batch, seq) when the batch is packed.
    Labels are unshifted. A label is -100 where there is no token (by length, never by pad id: the pad id may
    be a token that must be learnt, such as EOS) and at the first token of each document (it would be predicted from the
    last token of another document). Position ids restart at every document, which is also how a model knows its
    documents apart.

    Args:
        tokenizer: supplies the pad id; without one, 0 is used (padding is never attended to by real tokens).
        packed_sequences: True always returns position ids, False never, None when a sample holds several documents.
    """

    def __init__(self, tokenizer: Any = None, *, packed_sequences: bool | None = None) -> None:
        pad = getattr(tokenizer, "pad_token_id", None)
        self._pad = 0 if pad is None else pad
        self._packed = packed_sequences

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        length = max(len(sample.input_ids) for sample in samples)
        shape = (len(samples), length)
        input_ids = np.full(shape, self._pad, dtype=np.int64)
        labels = np.full(shape, IGNORED, dtype=np.int64)
        positions = np.empty(shape, dtype=np.int64)
        for row, sample in enumerate(samples):
            tokens = sample.input_ids
            input_ids[row, : len(tokens)] = tokens
            labels[row, : len(tokens)] = tokens
            labels[row, sample.document_starts] = IGNORED
            positions[row] = position_ids(sample.document_starts, len(tokens), length)
        batch = {"input_ids": torch.from_numpy(input_ids), "labels": torch.from_numpy(labels)}
        if self._is_packed(samples):
            batch["position_ids"] = torch.from_numpy(positions)
        return batch

    def _is_packed(self, samples: Sequence[Sample]) -> bool:
        if self._packed is not None:
            return self._packed
        return any(bool(np.any(sample.document_starts > 0)) for sample in samples)


def position_ids(document_starts: np.ndarray, num_tokens: int, length: int) -> np.ndarray:
    """Positions (length,) that restart at 0 at each document start, and once more where padding begins."""
    index = np.arange(length, dtype=np.int64)
    starts = np.zeros(length, dtype=np.int64)
    starts[document_starts] = document_starts
    if num_tokens < length:
        starts[num_tokens] = num_tokens
    return index - np.maximum.accumulate(starts)
