"""What can be known, without running a kernel, of a register in every thread of a program.

Addresses are sums of something equal in all threads (a pointer, the number of the program, a row) and something that
depends on the number of the thread only. The second part is computed, the first is left open: that decides which
threads read the same bytes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


class Lanes(NamedTuple):
    """The value of a register in the threads of a program.

    Attributes:
        offsets: (threads,) the part that differs from thread to thread; None if that is not known.
        base: an unknown number, equal in all threads, comes on top.
    """

    offsets: Integers | None
    base: bool = False

    @property
    def uniform(self) -> bool:
        """Equal in all threads, whether known or not."""
        return self.offsets is not None and bool((self.offsets == self.offsets[0]).all())

    @property
    def exact(self) -> bool:
        """Known in every thread."""
        return self.offsets is not None and not self.base

    @property
    def constant(self) -> int | None:
        """The number, where it is known and equal in all threads."""
        return int(self.offsets[0]) if self.offsets is not None and not self.base and self.uniform else None


UNKNOWN: Final = Lanes(None)
_EXACT: Final[dict[str, Callable[[Integers, Integers], Integers]]] = {
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "shr": operator.rshift,
    "min": np.minimum,
    "max": np.maximum,
    "mul": operator.mul,
}


def constant(value: int, threads: int) -> Lanes:
    """The same number in every thread."""
    return Lanes(np.full(threads, value, dtype=np.int64))


def unknown_but_equal(threads: int) -> Lanes:
    """A number that is not known, the same in every thread."""
    return Lanes(np.zeros(threads, dtype=np.int64), base=True)


def join(one: Lanes, other: Lanes) -> Lanes:
    """What holds of a register that has either value."""
    if one.offsets is None or other.offsets is None:
        return UNKNOWN
    difference = other.offsets - one.offsets
    if not difference.any() and one.base == other.base:
        return one
    return Lanes(one.offsets, base=True) if (difference == difference[0]).all() else UNKNOWN


def same(one: Lanes, other: Lanes) -> bool:
    """Both say the same."""
    if one.offsets is None or other.offsets is None:
        return one.offsets is other.offsets
    return one.base == other.base and bool((one.offsets == other.offsets).all())


def combine(operation: str, values: Sequence[Lanes]) -> Lanes:
    """The result of an integer instruction, by the first part of its opcode."""
    if operation == "mad":
        return combine("add", (combine("mul", values[:2]), values[2]))
    if operation == "shl" and (bits := values[1].constant) is not None:
        return combine("mul", (values[0], constant(1 << (bits & 63), _threads(values[0]))))
    if operation in ("mov", "cvt", "cvta"):
        return values[0]
    if operation == "bfe" and (bits := values[2].constant) is not None:
        return combine("and", (combine("shr", values[:2]), constant((1 << bits) - 1, _threads(values[0]))))
    if operation in ("add", "sub") and len(values) == 2:
        return _sum(*values, sign=-1 if operation == "sub" else 1)
    if operation == "mul" and (scaled := _scaled(*values)) is not None:
        return scaled
    return _other(operation, values)


def _threads(value: Lanes) -> int:
    return 1 if value.offsets is None else len(value.offsets)


def _sum(one: Lanes, other: Lanes, sign: int) -> Lanes:
    if one.offsets is None or other.offsets is None:
        return UNKNOWN
    return Lanes(one.offsets + sign * other.offsets, one.base or other.base)


def _scaled(one: Lanes, other: Lanes) -> Lanes | None:
    for value, factor in ((one, other.constant), (other, one.constant)):
        if factor is not None and value.offsets is not None:
            return Lanes(value.offsets * factor, value.base)
    return None


def _other(operation: str, values: Sequence[Lanes]) -> Lanes:
    if operation == "or" and not all(value.exact for value in values):
        return _sum(*values, sign=1)  # the compiler writes sums of numbers without common bits so
    if operation in _EXACT and all(value.exact for value in values):
        one, other = (value.offsets for value in values)
        assert one is not None and other is not None
        return Lanes(_EXACT[operation](one, other))
    if values and all(value.uniform for value in values):
        return unknown_but_equal(_threads(values[0]))
    return UNKNOWN
