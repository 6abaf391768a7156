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
import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar


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


def check_number(name: str, value: object) -> None:
    """Raise `HyperparameterError` unless `value` is a number; YAML 1.1 reads 1e-6, without a dot, as text."""
    if isinstance(value, str):
        raise HyperparameterError(f"{name} is the text {value!r}, not a number{_spelled_for_yaml(value)}")
    if not isinstance(value, Real):
        raise HyperparameterError(f"{name}={value!r} must be a number")


def check_integer(name: str, value: object) -> None:
    """Raise `HyperparameterError` unless `value` is a whole number, and no float that happens to be one."""
    check_number(name, value)
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise HyperparameterError(f"{name}={value!r} must be an integer")


def check_range(name: str, value: float, low: float, high: float | None = None) -> None:
    """Raise `HyperparameterError` unless `low <= value` (and `value < high` where given); NaN never passes."""
    check_number(name, value)
    if not value >= low or (high is not None and not value < high):
        upper = "" if high is None else f" and below {high}"
        raise HyperparameterError(f"{name}={value!r} must be at least {low}{upper}")


def check_numbers(name: str, values: Any, count: int, low: float = -math.inf, high: float | None = None) -> None:
    """Raise `HyperparameterError` unless `values` are `count` numbers, each within its range, see `check_range`."""
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != count:
        raise HyperparameterError(f"{name}={values!r} must be {count} numbers")
    for index, value in enumerate(values):
        check_range(f"{name}[{index}]", value, low, high)


def _spelled_for_yaml(text: str) -> str:
    """How YAML 1.1 reads the number that `text` means, if it means one in scientific notation."""
    mantissa, letter, exponent = text.partition("e")
    try:
        float(text)
    except ValueError:
        return ""
    if not letter:
        return "; write it without quotes"
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    exponent = exponent if exponent[:1] in ("+", "-") else f"+{exponent}"
    return f"; in YAML write {mantissa}e{exponent}, not {text}"
