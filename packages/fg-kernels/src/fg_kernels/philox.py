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
from fg_kernels.window import Window

ELEMENTS_PER_BLOCK = 8
ROUNDS = 7

_MASK = 0xFFFF_FFFF
_MULTIPLIERS = (0xD251_1F53, 0xCD9E_8D57)
_KEY_INCREMENTS = (0x9E37_79B9, 0xBB67_AE85)
_MAX_ELEMENTS = ELEMENTS_PER_BLOCK << 32

_WHOLE = Window()

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


def key_words(seed: int, name: str) -> tuple[int, int, int]:
    """Return (name low, name high, seed) as signed integers of 32, 32 and 64 bits, as kernels take them."""
    hashed = name_hash(name)
    return _signed(hashed, 32), _signed(hashed >> 32, 32), _signed(seed, 64)


def noise16(
    count: int, *, seed: int, name: str, step: int | Tensor, window: Window = _WHOLE, device: torch.device | str
) -> Tensor:
    """Return 16 uniform random bits for each of `count` elements of a parameter.

    Args:
        count: number of elements.
        seed: of the run, reduced modulo 2**64.
        name: whole-model name of the parameter.
        step: update number, reduced modulo 2**32; or a 0-d integer tensor on `device`.
        window: where the elements lie within the whole, flattened parameter.
        device: where the result lives; its values do not depend on it.

    Returns:
        int32 tensor (count,) with values below 65536.

    Raises:
        OperandError: an element index is negative or beyond 2**35, the last the counter can tell apart.
    """
    _check_indices(count, window, name)
    if not window.contiguous:
        inside = torch.arange(count, dtype=torch.int64, device=device)
        index = window.offset + inside // window.width * window.stride + inside % window.width
        bits = _block_bits(index // ELEMENTS_PER_BLOCK, seed=seed, name=name, step=step)
        return bits.gather(1, (index % ELEMENTS_PER_BLOCK)[:, None]).squeeze(1)
    first, skipped = divmod(window.offset, ELEMENTS_PER_BLOCK)
    last = -(-(window.offset + count) // ELEMENTS_PER_BLOCK)
    blocks = torch.arange(first, last, dtype=torch.int64, device=device)
    return _block_bits(blocks, seed=seed, name=name, step=step).view(-1)[skipped : skipped + count]


def _block_bits(blocks: Tensor, *, seed: int, name: str, step: int | Tensor) -> Tensor:
    """Return int32 (blocks, 8), 16 bits for each element of the blocks."""
    hashed = name_hash(name)
    counter = (blocks, step & _MASK, hashed & _MASK, hashed >> 32)
    words = philox4x32(counter, (seed & _MASK, seed >> 32 & _MASK))
    packed = torch.stack([torch.as_tensor(word) for word in words], dim=-1)
    return torch.stack((packed & 0xFFFF, packed >> 16), dim=-1).to(torch.int32).flatten(-2)


def _check_indices(count: int, window: Window, name: str) -> None:
    last = window.offset + count
    if not window.contiguous:
        last = window.offset + (count - 1) // window.width * window.stride + window.width
    if window.offset < 0 or last > _MAX_ELEMENTS:
        raise OperandError(f"elements {window.offset}..{last} of {name!r} lie outside 0..{_MAX_ELEMENTS}")


def _signed(value: int, bits: int) -> int:
    low = value & (1 << bits) - 1
    return low - (low >> bits - 1 << bits)
