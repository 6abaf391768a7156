"""Which code carries out an operation, and why: the one place that decides between Triton kernels and plain torch.

    which("sr_copy_", tensor)                       Choice(backend='reference', reason='the tensors are on cpu …')
    with use("reference"): …                        everything inside runs the definition of correct
    with use("auto", strict=True): …                what would fall back to plain torch raises instead
    FG_KERNELS_BACKEND=reference python …           the same for a whole process

A choice changes who computes, not what: algorithm, dtypes and rounding noise are those of `fg_kernels.reference`, with
one exception. The kernel of `linear_cross_entropy` takes the logits of bf16 and fp16 operands in that dtype, as the
plain loss does, and the reference takes them in fp32; with `logits_dtype=torch.float32` they are fp32 in both.
Libraries of others (`backend="liger"`) are used only when they are asked for by name.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from fg_kernels.errors import BackendError, UnknownOptionError, check_option

logger = logging.getLogger(__name__)

BACKENDS = ("auto", "triton", "interpret", "reference")
ENVIRONMENT_VARIABLE = "FG_KERNELS_BACKEND"

_WIDE = frozenset({torch.float32})
_NARROW = frozenset({torch.bfloat16, torch.float16})

# The operations that have Triton kernels, and the dtypes these take as their first tensor.
_KERNELS: dict[str, frozenset[torch.dtype]] = {
    "quantize_blockwise": _WIDE | _NARROW,
    "dequantize_blockwise": frozenset({torch.uint8, torch.int8, torch.float8_e4m3fn}),
    "adafactor": frozenset({torch.float32, torch.bfloat16}),
    "adamw": frozenset({torch.float32, torch.bfloat16}),
    "sgd": frozenset({torch.float32, torch.bfloat16}),
    "cross_entropy_": _WIDE | _NARROW,
    "linear_cross_entropy": _WIDE | _NARROW,
    "sr_copy_": frozenset({torch.bfloat16}),
    "sr_add_": frozenset({torch.bfloat16}),
    "swiglu": _WIDE | _NARROW,
    "geglu": _WIDE | _NARROW,
    "rope": _WIDE | _NARROW,
    "rope_": _WIDE | _NARROW,
    "rms_norm": _WIDE | _NARROW,
    "add_rms_norm": _WIDE | _NARROW,
}

# Optimizers of matrix products and norms, which torch carries out everywhere, and what else never has a kernel.
PLAIN_OPTIMIZERS = ("apollo", "muon", "sinkgd")
_PLAIN = frozenset({*PLAIN_OPTIMIZERS, "linear_cross_entropy/tiny", "rope_frequencies", "rope_tables"})

# Where a program holds the whole last dimension: how much fits into its registers.
_WIDEST = {"rms_norm": 8192, "add_rms_norm": 8192, "rope": 2048, "rope_": 2048}

# The operations that other libraries offer too, and the module that each backend needs.
_PEERS: dict[str, dict[str, str]] = {
    "linear_cross_entropy": {
        "cce": "cut_cross_entropy",
        "liger": "liger_kernel",
        "quack": "quack",
        "torch": "torch",
    },
}

# The oldest generation with bf16 arithmetic (Ampere); what is compiled and tested begins there.
_OLDEST_CAPABILITY = (8, 0)


class Choice(NamedTuple):
    """Who carries out an operation, and why."""

    backend: str
    reason: str


@dataclass(frozen=True, eq=False, slots=True)
class _Wish:
    """What was asked for; equal to nothing but itself, since each block takes back its own."""

    backend: str
    strict: bool


# Of the process, not of a thread: autograd calls hooks in threads of its own, and what was asked for holds there too.
_wishes: list[_Wish] = []


@contextmanager
def use(backend: str, *, strict: bool = False) -> Iterator[None]:
    """Ask for a backend for all operations of the process that do not name one themselves.

    Args:
        backend: one of `BACKENDS`. "interpret" runs Triton kernels on CPU tensors by Triton's interpreter; it needs
            `TRITON_INTERPRET=1` in the environment before a kernel is first used.
        strict: raise `BackendError` instead of falling back to plain torch.

    Raises:
        UnknownOptionError: a backend that does not exist.
        BackendError: a library of others, which does not offer all operations.
    """
    _check_for_everything(backend)
    wish = _Wish(backend, strict)
    _wishes.append(wish)
    try:
        yield
    finally:
        _wishes.remove(wish)  # the last one may be another thread's


def which(op: str, *tensors: Tensor, backend: str = "auto", strict: bool = False) -> Choice:
    """Tell who would carry out `op` on `tensors`, and why.

    Args:
        op: name of a function of `fg_kernels.functional`, or of an optimizer in lower case.
        tensors: what it would be given; the first one's dtype and device decide.
        backend: as asked for by the caller; "auto" follows `use`, then the environment.
        strict: raise instead of falling back to plain torch.

    Raises:
        UnknownOptionError: an operation or a backend that does not exist.
        BackendError: the backend was asked for by name, or fallbacks are refused, and it cannot do this.
    """
    _check_operation(op)
    wish = _wished(backend)
    peers = _PEERS.get(op, {})
    check_option("backend", wish.backend, (*BACKENDS, *peers))
    if wish.backend in peers:
        return _peer(op, wish.backend, peers[wish.backend])
    if wish.backend == "reference":
        return Choice("reference", "asked for")
    obstacle = _obstacle(op, tensors, interpret=wish.backend == "interpret")
    if obstacle is None:
        return Choice("interpret" if wish.backend == "interpret" else "triton", "the tensors fit the kernel")
    if wish.backend != "auto" or wish.strict or strict:
        raise BackendError(f"{op}: {wish.backend!r} cannot be used: {obstacle}")
    return Choice("reference", obstacle)


def choose(op: str, *tensors: Tensor, backend: str = "auto") -> str:
    """The backend of `which`; a fallback on a CUDA device is logged once for each operation and reason."""
    choice = which(op, *tensors, backend=backend)
    if choice.backend == "reference" and tensors and tensors[0].is_cuda:
        _log_once(op, choice.reason)
    return choice.backend


def fall_back(op: str, obstacle: str, *tensors: Tensor) -> None:
    """Let plain torch carry out `op` because of an `obstacle` that only the caller knows.

    It is logged like a fallback of `choose`, once for each operation and reason on a CUDA device.

    Raises:
        BackendError: fallbacks are refused, and plain torch was not asked for.
    """
    wish = _wished("auto")
    if wish.backend == "reference":
        return
    if wish.strict:
        raise BackendError(f"{op}: {wish.backend!r} cannot be used: {obstacle}")
    if tensors and tensors[0].is_cuda:
        _log_once(op, obstacle)


class Offer(NamedTuple):
    """Who offers an operation beside plain torch.

    Attributes:
        dtypes: that the Triton kernel takes as its first tensor; empty without a kernel.
        peers: libraries of others, each with the module that it needs.
    """

    dtypes: frozenset[torch.dtype]
    peers: dict[str, str]


def offers() -> dict[str, Offer]:
    """Every operation that plain torch is not alone with, by name in alphabetical order."""
    return {op: Offer(_KERNELS.get(op, frozenset()), _PEERS.get(op, {})) for op in sorted(_KERNELS.keys() | _PEERS)}


def _wished(backend: str) -> _Wish:
    wish = next(reversed(_wishes), None)
    if backend != "auto":
        return _Wish(backend, wish is not None and wish.strict)
    if wish is not None:
        return wish
    backend = os.environ.get(ENVIRONMENT_VARIABLE, "auto")
    _check_for_everything(backend)
    return _Wish(backend, False)


def _check_operation(op: str) -> None:
    if op not in _KERNELS and op not in _PEERS and op not in _PLAIN:
        raise UnknownOptionError("op", op, _KERNELS.keys() | _PEERS.keys() | _PLAIN)


def _check_for_everything(backend: str) -> None:
    """Raise unless `backend` is one of `BACKENDS`."""
    if any(backend in peers for peers in _PEERS.values()):
        named = "; plain torch is called 'reference'" if backend == "torch" else ""
        raise BackendError(
            f"{backend!r} is no backend for everything; name it where it is wanted: backend={backend!r}{named}"
        )
    check_option("backend", backend, BACKENDS)


def _peer(op: str, backend: str, module: str) -> Choice:
    if importlib.util.find_spec(module) is None:
        raise BackendError(f"{op}: backend {backend!r} needs the module {module!r}, which is not installed")
    return Choice(backend, "asked for")


def _obstacle(op: str, tensors: tuple[Tensor, ...], *, interpret: bool) -> str | None:
    """What keeps the Triton kernel from being used, None if nothing does."""
    dtypes = _KERNELS.get(op)
    if dtypes is None:
        return "there is no Triton kernel for it"
    first = tensors[0] if tensors else None
    if first is not None and first.dtype not in dtypes:
        return f"the kernel takes {', '.join(sorted(map(str, dtypes)))}, not {first.dtype}"
    if first is not None and op in _WIDEST and first.ndim and first.shape[-1] > _WIDEST[op]:
        return f"the kernel takes at most {_WIDEST[op]} features, not {first.shape[-1]}"
    if not _has_triton():
        return "triton is not installed"
    if interpret:
        return None if _interpreter() else "TRITON_INTERPRET=1 is not set in the environment"
    return None if first is None else _device_obstacle(first)


def _device_obstacle(tensor: Tensor) -> str | None:
    if not tensor.is_cuda:
        return f"the tensors are on {tensor.device.type}, not on a CUDA device"
    capability = _capability(tensor.device.index or 0)
    if capability is None:
        return f"this machine has no {tensor.device}"  # tensors without memory, of which a plan is made, may be there
    if capability < _OLDEST_CAPABILITY:
        return f"compute capability {capability[0]}.{capability[1]} is below 8.0"
    return None


@lru_cache(maxsize=1)
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def _interpreter() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


@lru_cache(maxsize=64)
def _capability(device: int) -> tuple[int, int] | None:
    if device >= torch.cuda.device_count():
        return None
    return torch.cuda.get_device_capability(device)


@lru_cache(maxsize=256)
def _log_once(op: str, reason: str) -> None:
    logger.warning("%s runs in plain torch: %s", op, reason)
