"""Gated units, rotary embedding, normalisation and quantisation beside their peers: forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from fg_kernels import functional, reference
from fg_kernels.measuring.case import Absent, Case, Work, peer

Outputs: TypeAlias = "Tensor | tuple[Tensor, ...]"
Function: TypeAlias = Callable[..., Outputs]
Shape: TypeAlias = tuple[int, ...]

_WIDE: Final = (8192, 4096)
_SMALL: Final = (256, 1024)
_QUICK: Final = (32, 256)
_HEAD: Final = 128


def _as_it_is(results: Outputs) -> Outputs:
    return results


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """An operation.

    Attributes:
        bytes: moved at the least per element, forward and backward, in bf16.
        inputs: the operands of one size, bf16; those that require a gradient get one.
        plain: plain torch, in any dtype: in fp64 it is exact.
        peers: who else offers it.
        value: what of the results is compared with `plain`.
    """

    bytes: float
    inputs: Callable[[Shape, torch.device], list[Tensor]]
    plain: Function
    peers: Mapping[str, Callable[[torch.device], Function]] = field(default_factory=dict)
    value: Callable[[Outputs], Outputs] = _as_it_is


def elementwise_cases(device: torch.device, *, quick: bool = False) -> Iterator[Case]:
    """One case for each operation."""
    rows, columns = shape = _QUICK if quick else _WIDE if device.type == "cuda" else _SMALL
    for op, recipe in _RECIPES.items():
        yield Case(
            name=f"{op}/{rows}x{columns}",
            op=op,
            shape={"rows": rows, "columns": columns},
            elements=rows * columns,
            bytes=round(rows * columns * recipe.bytes),
            contenders={label: partial(_work, recipe, shape, find) for label, find in _contenders(op, recipe)},
        )


def operation_errors(op: str, device: torch.device, *, backend: str) -> tuple[float, float]:
    """Return the largest relative error of results and gradients in bf16 against fp64: ours, and plain torch's."""
    recipe = _RECIPES[op]
    inputs = recipe.inputs(_QUICK, device)
    return (
        _largest_error(recipe, partial(getattr(functional, op), backend=backend), inputs),
        _largest_error(recipe, recipe.plain, inputs),
    )


def _largest_error(recipe: Recipe, function: Function, inputs: list[Tensor]) -> float:
    exact = _outcome(recipe.plain, [_exact(value) for value in inputs])
    return max(map(_distance, _outcome(function, inputs, recipe.value), exact))


def _contenders(op: str, recipe: Recipe) -> Iterator[tuple[str, Callable[[torch.device], Function]]]:
    yield "fg_kernels", lambda device: getattr(functional, op)
    if recipe.value is _as_it_is:
        yield "torch", lambda device: recipe.plain
    yield "compiled reference", partial(_compiled, getattr(reference, op))
    yield from recipe.peers.items()


def _work(recipe: Recipe, shape: Shape, find: Callable[[torch.device], Function], device: torch.device) -> Work:
    function, inputs = find(device), recipe.inputs(shape, device)

    def facts() -> dict[str, float]:
        return {"error": _largest_error(recipe, function, inputs)}

    return Work(run=lambda: _outcome(function, inputs), facts=facts)


def _outcome(function: Function, inputs: list[Tensor], value: Callable[[Outputs], Outputs] = _as_it_is) -> list[Tensor]:
    """The results, and the gradients of their sum, weighted unevenly, where inputs require them."""
    results = value(function(*inputs))
    outputs = [results] if isinstance(results, Tensor) else list(results)
    wanted = [value for value in inputs if value.requires_grad]
    if not wanted:
        return outputs
    weights = [torch.linspace(-1, 1, output.numel(), device=output.device).view_as(output) for output in outputs]
    given = [weight.to(output.dtype) for weight, output in zip(weights, outputs, strict=True)]
    return [*(output.detach() for output in outputs), *torch.autograd.grad(outputs, wanted, given)]


def _exact(value: Tensor) -> Tensor:
    wide = value.detach().double() if value.is_floating_point() else value
    return wide.requires_grad_(value.requires_grad)


def _random(count: int, shape: Shape, device: torch.device) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(shape, generator=generator) for _ in range(count)]
    return [value.to(device, torch.bfloat16).requires_grad_() for value in drawn]


def _rows_and_weight(shape: Shape, device: torch.device) -> list[Tensor]:
    return [*_random(2, shape, device), *_random(1, shape[1:], device)]


def _heads(shape: Shape, device: torch.device) -> list[Tensor]:
    """Rows as tokens, columns as heads of 128; angles in fp32."""
    rows, columns = shape
    (x,) = _random(1, (1, columns // _HEAD, rows, _HEAD), device)
    angles = torch.outer(torch.arange(rows), 10_000 ** -torch.linspace(0, 1, _HEAD // 2)).to(device)
    return [x, angles.cos(), angles.sin()]


def _plain_swiglu(gate: Tensor, up: Tensor) -> Tensor:
    return F.silu(gate) * up


def _plain_geglu(gate: Tensor, up: Tensor) -> Tensor:
    return F.gelu(gate, approximate="tanh") * up


def _plain_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """As models write it: the halves of a head are the parts of complex numbers."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    cos, sin = (torch.cat((part, part), dim=-1).to(x.dtype) for part in (cos, sin))
    return x * cos + turned * sin


def _plain_add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    total = x + residual
    return F.rms_norm(total, weight.shape, weight, 1e-6), total


def _decoded(results: Outputs) -> Tensor:
    """Codes and scales are no values that could be compared."""
    return functional.dequantize_blockwise(*results)


def _compiled(function: Function, device: torch.device) -> Function:
    if device.type != "cuda":
        raise Absent("is measured on CUDA devices only")
    return torch.compile(function)


def _liger_swiglu(device: torch.device) -> Function:
    return peer("liger_kernel.ops.swiglu", device=device).LigerSiLUMulFunction.apply


def _liger_geglu(device: torch.device) -> Function:
    return peer("liger_kernel.ops.geglu", device=device).LigerGELUMulFunction.apply


def _distance(ours: Tensor, exact: Tensor) -> float:
    return float(torch.linalg.vector_norm(ours.double() - exact) / torch.linalg.vector_norm(exact))


# Streams of two bytes. Gated units: 3 forward, 5 backward; rotation: 2 and 2; norm: x, residual and both results
# forward, both gradients, the sum and the result backward. Quantised: 2 bytes read, 1 written, and the scales.
_RECIPES: Final[Mapping[str, Recipe]] = {
    "swiglu": Recipe(
        bytes=16,
        inputs=partial(_random, 2),
        plain=_plain_swiglu,
        peers={"liger": _liger_swiglu},
    ),
    "geglu": Recipe(
        bytes=16,
        inputs=partial(_random, 2),
        plain=_plain_geglu,
        peers={"liger": _liger_geglu},
    ),
    "rope": Recipe(bytes=8, inputs=_heads, plain=_plain_rope),
    "add_rms_norm": Recipe(bytes=16, inputs=_rows_and_weight, plain=_plain_add_rms_norm),
    "quantize_blockwise": Recipe(
        bytes=2 + 1 + 4 / 256,
        inputs=lambda shape, device: [value.detach() for value in _random(1, shape, device)],
        plain=torch.clone,
        value=_decoded,
    ),
}
