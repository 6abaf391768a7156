"""A question to measure and those who answer it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch


class Absent(Exception):  # noqa: N818  # no error: it says why somebody does not take part
    """A contender cannot take part here; the text is the reason."""


def _no_facts() -> Mapping[str, float]:
    return {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """Something to measure.

    Attributes:
        run: does it once; may be called any number of times.
        facts: what else is to be known of it, by name: errors against fp64, bytes of state, …
    """

    run: Callable[[], object]
    facts: Callable[[], Mapping[str, float]] = _no_facts


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One question.

    Attributes:
        name: "adafactor/4096x4096".
        op: the operation, as `forgather kernels bench OP` names it.
        shape: sizes by name.
        elements: that figures per element are divided by: parameters, logits, …
        contenders: each makes its work on a device, or raises `Absent`; ours is the first.
        bytes: that must be moved at the least, None if arithmetic is the limit.
        flops: floating point operations that must be done, None if memory is the limit.
        slow_on_cpu: one call takes many seconds there: it is timed once, while its memory and bytes are counted.
    """

    name: str
    op: str
    shape: Mapping[str, int]
    elements: int
    contenders: Mapping[str, Callable[[torch.device], Work]]
    bytes: int | None = None
    flops: int | None = None
    slow_on_cpu: bool = False


def peer(module: str, *, device: torch.device | None = None) -> Any:
    """Import the library of a peer.

    Args:
        module: dotted name.
        device: where it is to work, if it works on CUDA devices only.

    Raises:
        Absent: it is not installed, or the device is none of CUDA's.
    """
    distribution = module.partition(".")[0]
    if importlib.util.find_spec(distribution) is None:
        raise Absent(f"{distribution} is not installed")
    if device is not None and device.type != "cuda":
        raise Absent("needs a CUDA device")
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Absent(f"{module} cannot be imported: {error}") from error
