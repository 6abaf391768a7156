"""SGD for all parameters in one launch: 6 bytes per bf16 parameter, 14 with momentum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import triton
import triton.language as tl

from fg_kernels.triton.cases import CompileCase
from fg_kernels.triton.launch import Config
from fg_kernels.triton.parameters import (
    Lookup,
    cases_of,
    count_of,
    index_of,
    launch_tiles,
    loaded,
    narrowed,
    stored,
)

# Columns of the table (one name comes before them), and how many hyper-parameters there are.
_PARAMETER = tl.constexpr(5)
_GRADIENT = tl.constexpr(6)
_MOMENTUM = tl.constexpr(7)
_NUMBERS = tl.constexpr(4)


@triton.jit
def sgd(
    tiles,
    table,
    steps,
    numbers,
    P16: tl.constexpr,
    G16: tl.constexpr,
    MOMENTUM: tl.constexpr,
    NESTEROV: tl.constexpr,
    STOCHASTIC: tl.constexpr,
    EVEN: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Update one tile of one parameter.

    Args:
        tiles, table, steps: see `parameters`; one noise, and the addresses of parameter, gradient and momentum.
        numbers: lr, weight decay, momentum, weight of the gradient in the momentum.
        P16: the parameter is bf16, not fp32; G16: the gradient.
        MOMENTUM: there is momentum (fp32); NESTEROV: of Nesterov's kind.
        STOCHASTIC: how bf16 is rounded.
        EVEN: all counts are multiples of 16.
        BLOCK: elements of a tile.
    """
    tensor = tl.load(tiles + 2 * tl.program_id(0))
    tile = tl.load(tiles + 2 * tl.program_id(0) + 1)
    COLUMNS: tl.constexpr = 8 if MOMENTUM else 7
    row, number = table + tensor * COLUMNS, numbers + tensor * _NUMBERS
    step = tl.load(steps + tensor)
    index = index_of(tile, BLOCK)
    inside = index < count_of(row, EVEN)
    direction = loaded(row, _GRADIENT, index, inside, G16)
    value = loaded(row, _PARAMETER, index, inside, P16)
    decay = tl.load(number + 1)
    direction = tl.where(decay == 0, direction, direction + value * decay)
    if MOMENTUM:
        momentum = loaded(row, _MOMENTUM, index, inside, False) * tl.load(number + 2)
        momentum += direction * tl.load(number + 3)
        stored(momentum, row, _MOMENTUM, index, inside, False)
        direction = direction + momentum * tl.load(number + 2) if NESTEROV else momentum
    value = value - direction * tl.load(number)
    value = narrowed(value, row, 0, tile, step, P16, STOCHASTIC, BLOCK)
    stored(value, row, _PARAMETER, index, inside, P16)


def sgd_(lookup: Lookup, variant: Mapping[str, bool], config: Config) -> None:
    """Launch; `variant` are the compile-time arguments beside the blocks of `config`."""
    launch_tiles(sgd, lookup, variant, config)


def compile_cases(arch: int) -> Iterator[CompileCase]:
    """See `fg_kernels.triton.cases`."""
    return cases_of("sgd", sgd, dict(_variants()), arch)


def _variants() -> Iterator[tuple[str, dict[str, bool]]]:
    """What users get: bf16 with each kind of momentum; gradients accumulated in fp32; nearest; fp32; odd sizes."""
    momentum = {"P16": True, "G16": True, "MOMENTUM": True, "NESTEROV": False, "STOCHASTIC": True, "EVEN": True}
    plain = momentum | {"MOMENTUM": False}
    yield "plain", plain
    yield "plain-fp32", plain | {"P16": False, "G16": False}
    yield "momentum", momentum
    yield "momentum-wide-gradient", momentum | {"G16": False}
    yield "momentum-nearest", momentum | {"STOCHASTIC": False}
    yield "momentum-fp32", momentum | {"P16": False, "G16": False}
    yield "momentum-odd", momentum | {"EVEN": False}
    yield "nesterov", momentum | {"NESTEROV": True}
