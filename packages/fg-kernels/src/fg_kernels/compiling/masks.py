"""Predicates as three-valued masks: for each thread 1 (true), 0 (false) or OPEN (depends on what is not known)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fg_kernels.compiling.lanes import Lanes

Mask = NDArray[np.int8]
OPEN: Final = -1
_COMPARISONS: Final = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def open_mask(threads: int) -> Mask:
    """Nothing is known."""
    return np.full(threads, OPEN, dtype=np.int8)


def compare(comparison: str, one: Lanes, other: Lanes, threads: int) -> Mask:
    """The outcome of `setp`, open unless both numbers are known."""
    if comparison not in _COMPARISONS or one.offsets is None or other.offsets is None or one.base or other.base:
        return open_mask(threads)
    return _COMPARISONS[comparison](one.offsets, other.offsets).astype(np.int8)


def both(one: Mask, other: Mask) -> Mask:
    """Logical and: false where either is false."""
    return np.where((one == 0) | (other == 0), 0, np.where((one == 1) & (other == 1), 1, OPEN)).astype(np.int8)


def negation(mask: Mask) -> Mask:
    """Logical not."""
    return np.where(mask == OPEN, OPEN, 1 - mask).astype(np.int8)


def either(one: Mask, other: Mask) -> Mask:
    """Logical or: true where either is true."""
    return negation(both(negation(one), negation(other)))


def join_masks(one: Mask, other: Mask) -> Mask:
    """What holds of a predicate that has either value."""
    return np.where(one == other, one, OPEN).astype(np.int8)
