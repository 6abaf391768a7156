"""Counter-based random numbers: the same number for the same question, on every device and in any order.

Philox4x32 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011) maps a
128-bit counter and a 64-bit key to 128 random bits. The question asked here is "which noise belongs to element `i`
of parameter `name` in update `step` of a run seeded with `seed`", and it is laid out without any mixing:

    key      seed (64 bit)
    counter  [block, step, name low, name high], 32 bit each; name is the blake2b-64 hash of the parameter's name
    block    i // 8: eight elements share one call, 16 bits each; element i takes word (i % 8) // 2, low half first

Seven rounds are used: the fewest that pass BigCrush in the paper (table 2), ten being its safety margin.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor

from fg_kernels.errors import OperandError

ELEMENTS_PER_BLOCK = 8
ROUNDS = 7

_MASK = 0xFFFF_FFFF
_MULTIPLIERS = (0xD251_1F53, 0xCD9E_8D57)
_KEY_INCREMENTS = (0x9E37_79B9, 0xBB67_AE85)
_MAX_ELEMENTS = ELEMENTS_PER_BLOCK << 32

Word: TypeAlias = Tensor | int
Words: TypeAlias = tuple[Word, Word, Word, Word]


def philox4x32(counter: Words, key: tuple[int, int], *, rounds: int = ROUNDS) -> Words:
    """Apply Philox4x32 to a counter.

    Args:
        counter: four words below 2**32, least significant first; int64 tensors of one shape, or plain integers.
        key: two words below 2**32.
        rounds: 7 here, 10 in most libraries.

    Returns:
        Four words below 2**32, int64 tensors wherever a tensor went in.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        # An int64 product wraps modulo 2**64: its bits are those of the unsigned product.
        first, second = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = (second >> 32 & _MASK) ^ c1 ^ k0, second & _MASK
        c2, c3 = (first >> 32 & _MASK) ^ c3 ^ k1, first & _MASK
        k0, k1 = k0 + _KEY_INCREMENTS[0] & _MASK, k1 + _KEY_INCREMENTS[1] & _MASK
    return c0, c1, c2, c3


@lru_cache(maxsize=1 << 16)
def name_hash(name: str) -> int:
    """Return the blake2b-64 hash of a parameter's whole-model name, below 2**64."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def noise16(count: int, *, seed: int, name: str, step: int, offset: int = 0, device: torch.device | str) -> Tensor:
    """Return 16 uniform random bits for each of `count` consecutive elements of a parameter.

    Args:
        count: number of elements.
        seed: of the run, reduced modulo 2**64.
        name: whole-model name of the parameter.
        step: update number, reduced modulo 2**32.
        offset: index of the first element within the whole, flattened parameter.
        device: where the result lives; its values do not depend on it.

    Returns:
        int32 tensor (count,) with values below 65536.

    Raises:
        OperandError: an element index is negative or beyond 2**35, the last the counter can tell apart.
    """
    if offset < 0 or offset + count > _MAX_ELEMENTS:
        raise OperandError(f"elements {offset}..{offset + count} of {name!r} lie outside 0..{_MAX_ELEMENTS}")
    first, skipped = divmod(offset, ELEMENTS_PER_BLOCK)
    last = -(-(offset + count) // ELEMENTS_PER_BLOCK)
    blocks = torch.arange(first, last, dtype=torch.int64, device=device)
    hashed = name_hash(name)
    counter = (blocks, step & _MASK, hashed & _MASK, hashed >> 32)
    words = philox4x32(counter, (seed & _MASK, seed >> 32 & _MASK))
    packed = torch.stack([torch.as_tensor(word) for word in words], dim=-1)
    halves = torch.stack((packed & 0xFFFF, packed >> 16), dim=-1).to(torch.int32)
    return halves.view(-1)[skipped : skipped + count]
