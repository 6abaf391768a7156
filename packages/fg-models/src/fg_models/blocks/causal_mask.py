"""Which keys each query may see: the past, within its own document, without padding."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.cache_utils import Cache


def document_ids(position_ids: Tensor) -> Tensor:
    """Number the documents of packed sequences: (batch, seq) → (batch, seq).

    A document begins wherever a position does not continue the one before it.
    """
    begins = torch.ones_like(position_ids, dtype=torch.bool)
    begins[:, 1:] = position_ids[:, 1:] != position_ids[:, :-1] + 1
    return begins.cumsum(dim=-1)


def cache_extent(past_key_values: Cache | None, query_length: int) -> tuple[int, int, int]:
    """Tokens seen before this call, number of keys the cache will return, and the position of the first of them."""
    if past_key_values is None:
        return 0, query_length, 0
    key_length, key_offset = past_key_values.get_mask_sizes(query_length, 0)
    seen = past_key_values.get_seq_length()  # a tensor in static caches, whatever its annotation says
    return int(seen), int(key_length), int(key_offset)


def padding_mask(attention_mask: Tensor, key_offset: int, key_length: int) -> Tensor | None:
    """The columns of (batch, length) that the cache returns, True at tokens; None when nothing is padded."""
    columns = attention_mask[:, key_offset : key_offset + key_length].bool()
    if columns.shape[1] == key_length and columns.all():
        return None
    return F.pad(columns, (0, key_length - columns.shape[1]))


def causal_mask(
    query_length: int,
    *,
    attention_mask: Tensor | None = None,
    position_ids: Tensor | None = None,
    past_key_values: Cache | None = None,
    sliding_window: int | None = None,
    device: torch.device | None = None,
) -> Tensor | None:
    """A mask (batch or 1, 1, query, key), True where attention is allowed; None when plain causality is enough.

    Args:
        attention_mask: (batch, past + query), 0 at padding. A mask of four dimensions is used as it is.
        position_ids: (batch, query) given by the caller; where they restart, a new document begins.
        sliding_window: a query sees itself and the `sliding_window - 1` tokens before it.
    """
    if attention_mask is not None and attention_mask.ndim == 4:
        return attention_mask
    seen, key_length, key_offset = cache_extent(past_key_values, query_length)
    tokens = None if attention_mask is None else padding_mask(attention_mask, key_offset, key_length)
    packed = position_ids is not None and query_length > 1 and seen == 0
    whole_past = key_offset == 0 and key_length == seen + query_length and (query_length == 1 or seen == 0)
    windowed = sliding_window is not None and seen + query_length > sliding_window
    if tokens is None and whole_past and not packed and not windowed:
        return None

    queries = torch.arange(seen, seen + query_length, device=device)[:, None]
    keys = torch.arange(key_offset, key_offset + key_length, device=device)[None, :]
    allowed = (keys <= queries)[None]
    if sliding_window is not None:
        allowed = allowed & (keys > queries - sliding_window)
    if packed and position_ids is not None:
        documents = F.pad(document_ids(position_ids), (0, key_length - query_length))
        allowed = allowed & (documents[:, :query_length, None] == documents[:, None, :])
    if tokens is not None:
        allowed = allowed & tokens[:, None, :]
    # A padded query would see nothing at all and its softmax would be 0/0; let it see itself.
    return (allowed | (keys == queries))[:, None]
