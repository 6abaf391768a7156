"""The promises: a figure and its limit for each, by operation.

Bits that differ from the reference on the CPU, errors against fp64 in units of those of plain torch, bias in standard
deviations. A backend that has no kernel for an operation has nothing to promise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor
from torch.nn import Parameter

import fg_kernels
from fg_kernels import dispatch, philox
from fg_kernels.errors import BackendError
from fg_kernels.functional import linear_cross_entropy, sr_add_, sr_copy_
from fg_kernels.measuring.elementwise import operation_errors
from fg_kernels.measuring.losses import Problem, plain
from fg_kernels.measuring.optimizers import path_error
from fg_kernels.optim import Optimizer
from fg_kernels.window import Window

_KEY: Final[dict[str, Any]] = {"seed": 7, "name": "layers.0.weight", "step": 3}
# Random123, tests/kat_vectors: philox4x32 of 7 rounds; counter, key, answer.
_KNOWN: Final = (
    ((0,) * 4, (0,) * 2, (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x5207DDC2, 0x45165E59, 0x4D8EE751, 0x8C52F662)),
)
# Of "embed.weight", seed 7, update 3, elements 5 to 14: the layout that saved runs depend on.
_FIXED_NOISE: Final = (59285, 37804, 2079, 44898, 12604, 32788, 21954, 50668, 50741, 21070)
_DRAWS: Final = 1 << 20
_SHAPES: Final = ((48, 64), (33,))
_UPDATES: Final = 3

Make: TypeAlias = Callable[[list[tuple[str, Parameter]]], Optimizer]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A backend, and the device where it runs."""

    backend: str
    device: torch.device

    def __str__(self) -> str:
        return f"{self.backend} on {self.device.type}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One promise, tried: `value` must not pass `limit`."""

    op: str
    promise: str
    place: Place
    value: float
    limit: float

    @property
    def kept(self) -> bool:
        """Whether the promise holds; NaN does not pass."""
        return self.value <= self.limit


# --- stochastic rounding ---------------------------------------------------------------------------------------------


def _noise(op: str, place: Place) -> Iterator[Finding]:
    if place.backend != "reference":
        return  # kernels make their noise inside; the roundings below show it
    found = partial(Finding, op=op, place=place)
    wrong = sum(philox.philox4x32(counter, key) != answer for counter, key, answer in _KNOWN)
    yield found(promise="known answers of Random123 that differ", value=wrong, limit=0)
    drawn = philox.noise16(10, seed=7, name="embed.weight", step=3, window=Window(5), device=place.device)
    wrong = sum(bits != answer for bits, answer in zip(drawn.tolist(), _FIXED_NOISE, strict=True))
    yield found(promise="known noise of a parameter that differs", value=wrong, limit=0)


def _copying(op: str, place: Place) -> Iterator[Finding]:
    found = partial(Finding, op=op, place=place)
    if place != _REFERENCE:
        values = torch.randn(65_537, generator=torch.Generator().manual_seed(0)) * torch.logspace(-30, 30, 65_537)
        expected, got = (_rounded(values, each) for each in (_REFERENCE, place))
        yield found(promise="bits that differ from the reference's", value=_different(expected, got), limit=0)
    special = torch.tensor([0.0, -0.0, 1.0, -3.140625, torch.inf, -torch.inf, torch.nan, 2.0**-133])
    yield found(promise="NaN, infinity or bf16 values changed", value=_changed(special, place), limit=0)
    yield found(promise="bias of 2**20 draws in standard deviations", value=_bias(place), limit=4)


def _adding(op: str, place: Place) -> Iterator[Finding]:
    """Adding is raising, adding and copying: the bits of those three."""
    start = torch.randn(4099, generator=torch.Generator().manual_seed(1)).bfloat16()
    added = sr_add_(
        start.to(place.device, copy=True), torch.full((4099,), 1e-3, device=place.device), alpha=-0.5, **_KEY,
        backend=place.backend,
    )  # fmt: skip
    expected = _rounded(start.float() - torch.full((4099,), 1e-3) * 0.5, _REFERENCE)
    different = _different(expected, added)
    yield Finding(op=op, place=place, promise="bits that differ from adding and rounding", value=different, limit=0)


def _rounded(values: Tensor, place: Place) -> Tensor:
    target = torch.empty(values.shape, dtype=torch.bfloat16, device=place.device)
    return sr_copy_(target, values.to(place.device), **_KEY, backend=place.backend).cpu()


def _changed(values: Tensor, place: Place) -> int:
    after, nan = _rounded(values, place).float(), values.isnan()
    return int((values[~nan] != after[~nan]).sum()) + int((~after[nan].isnan()).sum())


def _bias(place: Place) -> float:
    """A value a third of the way between two neighbours must be rounded up a third of the time."""
    step, part = 2.0**-7, 21_845 / 65_536
    drawn = _rounded(torch.full((_DRAWS,), 1 + part * step), place).double()
    share = float((drawn.mean() - 1) / step)
    return abs(share - part) / (part * (1 - part) / _DRAWS) ** 0.5


# --- optimizers ------------------------------------------------------------------------------------------------------


def _optimizing(make: Make, allowed_bits: float, op: str, place: Place) -> Iterator[Finding]:
    """`allowed_bits`: part of the weights whose last bit may differ, because a kernel sums in another order."""
    if not _has_kernel(op, place):
        return
    found = partial(Finding, op=op, place=place)
    mine = _trained(make, place, torch.bfloat16)
    if place != _REFERENCE:
        part = _different(mine, _trained(make, _REFERENCE, torch.bfloat16)) / mine.numel()
        yield found(promise="part of the bf16 weights that differs from the plain rule", value=part, limit=allowed_bits)
    alone = _different(mine, _trained(make, place, torch.bfloat16, one_by_one=True))
    yield found(promise="bits that differ if parameters are updated one by one", value=alone, limit=0)
    exact, wide = (_trained(make, each, dtype) for each, dtype in ((_REFERENCE, torch.float64), (place, torch.float32)))
    yield found(promise="error of fp32 weights against fp64", value=_distance(wide, exact), limit=1e-6)
    if place.backend == "interpret":
        return  # is slow there, and bits that are the reference's take its path
    with dispatch.use(place.backend):
        stray = path_error(make, place.device)
    yield found(promise="part of the exact path missed by bf16 weights", value=stray, limit=0.05)


def _trained(make: Make, place: Place, dtype: torch.dtype, *, one_by_one: bool = False) -> Tensor:
    """All weights after some updates, on the CPU."""
    generator = torch.Generator().manual_seed(2)
    named = [(f"layers.{i}", _parameter(shape, generator, dtype, place)) for i, shape in enumerate(_SHAPES)]
    optimizer = make(named)
    with dispatch.use(place.backend if dtype == torch.bfloat16 else "auto"):
        for _ in range(_UPDATES):
            if one_by_one:
                for _, parameter in reversed(named):
                    optimizer.step_param(parameter)
            else:
                optimizer.step()
    return torch.cat([parameter.detach().flatten().cpu() for _, parameter in named])


def _parameter(shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype, place: Place) -> Parameter:
    """Values that bf16 represents, so that every dtype starts from the same ones."""
    value, gradient = (torch.randn(shape, generator=generator).bfloat16() for _ in range(2))
    parameter = Parameter(value.to(place.device, dtype))
    parameter.grad = gradient.to(place.device, dtype)
    return parameter


def _has_kernel(op: str, place: Place) -> bool:
    try:
        dispatch.which(op, torch.zeros(8, dtype=torch.bfloat16, device=place.device), backend=place.backend)
    except BackendError:
        return False
    return True


# --- small operations ------------------------------------------------------------------------------------------------


def _small(op: str, place: Place) -> Iterator[Finding]:
    if not _has_kernel(op, place):
        return
    mine, usual = operation_errors(op, place.device, backend=place.backend)
    promise = "largest error against fp64, in units of that of plain bf16 torch"
    yield Finding(op=op, place=place, promise=promise, value=mine / usual, limit=1.25)


# --- losses ----------------------------------------------------------------------------------------------------------


def _losing(op: str, place: Place) -> Iterator[Finding]:
    if place.backend not in ("reference", "triton"):
        return
    problem = Problem(1024, 4000, 128, place.device)
    usual = problem.errors(problem.outcome(plain))
    for mode in ("fast", "tiny"):
        found = partial(Finding, op=f"{op}, {mode}", place=place)
        backend = "auto" if place.backend == "triton" else "reference"
        errors = problem.errors(problem.outcome(partial(linear_cross_entropy, mode=mode, backend=backend)))
        yield found(promise="error of the loss against fp64", value=errors["loss error"], limit=1e-4)
        for key in ("dx error", "dw error"):
            ratio = errors[key] / usual[key]
            yield found(promise=f"{key} in units of that of plain bf16 torch", value=ratio, limit=1.25)


def _different(first: Tensor, second: Tensor) -> int:
    """Elements whose bits differ."""
    first, second = first.cpu(), second.cpu()
    if first.dtype == torch.bfloat16:
        first, second = first.view(torch.int16), second.view(torch.int16)
    return int((first != second).sum())


def _distance(ours: Tensor, exact: Tensor) -> float:
    return float(torch.linalg.vector_norm(ours.double() - exact) / torch.linalg.vector_norm(exact))


_REFERENCE: Final = Place(backend="reference", device=torch.device("cpu"))

PROMISES: Final[Mapping[str, Callable[[str, Place], Iterator[Finding]]]] = {
    "noise": _noise,
    "sr_copy_": _copying,
    "sr_add_": _adding,
    "adafactor": partial(_optimizing, partial(fg_kernels.Adafactor, lr=1e-4), 1e-3),
    "adamw": partial(_optimizing, partial(fg_kernels.AdamW, lr=1e-4), 0.0),
    "sgd": partial(_optimizing, partial(fg_kernels.SGD, lr=1e-4, momentum=0.9), 0.0),
    "linear_cross_entropy": _losing,
    "swiglu": _small,
    "geglu": _small,
    "rope": _small,
    "add_rms_norm": _small,
}
