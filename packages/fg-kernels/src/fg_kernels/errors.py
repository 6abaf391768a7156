"""What can be wrong with a request to a kernel or an optimizer.

KernelError                  base; a ValueError, because the value that was passed is at fault
├── UnknownOptionError       a name that is not among the valid ones (mode, backend, rounding, …)
├── HyperparameterError      a number outside its range
├── OperandError             tensors whose shapes or dtypes do not fit together
├── GradientError            a gradient that is missing, or comes twice within one update
├── BackendError             a backend that was asked for cannot carry out the operation here
├── CompiledCodeError        compiled code of a kernel that breaks its limits, or cannot be measured
├── UnusableTableError       a table of block sizes that cannot be used
├── UnwritableFileError      a file for results that cannot be written
├── ParameterGroupError      parameters that no optimizer, or more than one, would own
└── StateMismatchError       saved state that belongs to other parameters
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class KernelError(ValueError):
    """A request that cannot be carried out as it was written."""

    exit_code: ClassVar[int] = 2


class UnknownOptionError(KernelError):
    """An option was given a name that does not exist."""

    def __init__(self, option: str, value: object, valid: Iterable[str]) -> None:
        names = sorted(valid)
        near = difflib.get_close_matches(str(value), names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"{option}={value!r} does not exist; valid: {', '.join(map(repr, names))}.{hint}")


class HyperparameterError(KernelError):
    """A number lies outside the range in which the method is defined."""


class OperandError(KernelError):
    """Tensors do not fit together, or have a dtype that the operation does not support."""


class GradientError(KernelError):
    """A gradient is missing, or there are two where an update takes one."""


class BackendError(KernelError):
    """A backend was asked for by name, or fallbacks are refused, and it cannot carry out the operation."""


class CompiledCodeError(KernelError):
    """Compiled code of a kernel breaks its limits, or cannot be measured."""


class UnusableTableError(KernelError):
    """A table of block sizes cannot be used as it is written."""


class UnwritableFileError(KernelError):
    """A file that results are to be stored in cannot be written."""


class ParameterGroupError(KernelError):
    """Parameters could not be assigned to exactly one optimizer."""


class StateMismatchError(KernelError):
    """Saved optimizer state does not belong to the parameters it is loaded into."""


def check_option(option: str, value: str, valid: Iterable[str]) -> None:
    """Raise `UnknownOptionError` unless `value` is one of the `valid` names."""
    names = tuple(valid)
    if value not in names:
        raise UnknownOptionError(option, value, names)


def check_range(name: str, value: float, low: float, high: float | None = None) -> None:
    """Raise `HyperparameterError` unless `low <= value` (and `value < high` where given); NaN never passes."""
    if not value >= low or (high is not None and not value < high):
        upper = "" if high is None else f" and below {high}"
        raise HyperparameterError(f"{name}={value!r} must be at least {low}{upper}")
