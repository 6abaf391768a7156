"""Root mean square normalisation with the residual addition before it; see `fg_kernels.reference.normalization`.

A program holds whole rows, so that nothing is read twice. The gradient of the weight is a sum over rows: each program
of the backward pass sums every n-th tile of rows, and a second step adds up the programs, always in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping

import torch
import triton
import triton.language as tl
from torch import Tensor

from fg_kernels.triton.cases import CompileCase
from fg_kernels.triton.elementwise import POINTERS, as_bits, load_wide, rounded_for, store_rounded, widened
from fg_kernels.triton.launch import config_for, configs_of, launch_on

# Partial sums of the weight's gradient; a fixed number, so that the order of summation is that of any other device.
_PROGRAMS = 256
_TYPICAL_TRIPS = 32  # of a program's loop: 8192 rows


@triton.jit
def norm_forward(
    out,
    total,
    scale,
    x,
    residual,
    weight,
    rows,
    hidden,
    eps,
    weight_offset,
    HAS_RESIDUAL: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Normalise `x`, or what `x + residual` is once it is stored in `total`."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    mask = (row < rows)[:, None] & (column < hidden)[None, :]
    place = row[:, None] * hidden + column[None, :]
    value = load_wide(x, place, mask)
    if HAS_RESIDUAL:
        stored = rounded_for(total, value + load_wide(residual, place, mask))
        tl.store(total + place, stored, mask=mask)
        value = widened(stored)
    factor = tl.rsqrt(tl.sum(value * value, axis=1) / hidden + eps)
    tl.store(scale + row, factor, mask=row < rows)
    gain = load_wide(weight, column, column < hidden) + weight_offset
    store_rounded(out, place, value * factor[:, None] * gain[None, :], mask)


@triton.jit
def norm_backward(
    change,
    partial,
    grad,
    grad_total,
    total,
    scale,
    weight,
    rows,
    hidden,
    weight_offset,
    HAS_TOTAL: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Gradient of what was normalised, and this program's part of the weight's, a row of `partial`."""
    column = tl.arange(0, WIDTH)
    gain = (load_wide(weight, column, column < hidden) + weight_offset)[None, :]
    summed = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for number in range(tl.program_id(0), tl.cdiv(rows, ROWS), tl.num_programs(0)):
        row = tl.cast(number, tl.int64) * ROWS + tl.arange(0, ROWS)
        mask = (row < rows)[:, None] & (column < hidden)[None, :]
        place = row[:, None] * hidden + column[None, :]
        factor = tl.load(scale + row, mask=row < rows, other=0.0)[:, None]
        unit = load_wide(total, place, mask) * factor
        slope = load_wide(grad, place, mask)
        summed += slope * unit
        slope = slope * gain
        mean = tl.sum(slope * unit, axis=1)[:, None] / hidden
        result = factor * (slope - unit * mean)
        if HAS_TOTAL:
            result += load_wide(grad_total, place, mask)
        store_rounded(change, place, result, mask)
    tl.store(partial + tl.program_id(0).to(tl.int64) * hidden + column, tl.sum(summed, axis=0), mask=column < hidden)


def normalized(
    x: Tensor, residual: Tensor | None, weight: Tensor, eps: float, weight_offset: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Launch for contiguous tensors: normalised rows, the sum (`x` itself without a residual), the factor per row."""
    hidden = x.shape[-1]
    rows = x.numel() // hidden
    out, total = torch.empty_like(x), x if residual is None else torch.empty_like(x)
    scale = torch.empty(x.shape[:-1], dtype=torch.float32, device=x.device)
    config = config_for("norm_forward", x, hidden)
    operands = [as_bits(tensor) for tensor in (out, total, scale, x, x if residual is None else residual, weight)]
    launch_on(
        x,
        norm_forward,
        (triton.cdiv(rows, config.blocks["ROWS"]),),
        *operands,
        rows,
        hidden,
        eps,
        weight_offset,
        config=config,
        HAS_RESIDUAL=residual is not None,
    )
    return out, total, scale


def norm_gradients(
    grad: Tensor, grad_total: Tensor | None, total: Tensor, scale: Tensor, weight: Tensor, weight_offset: float
) -> tuple[Tensor, Tensor]:
    """Launch for contiguous tensors; see `fg_kernels.reference.normalization.norm_gradients`."""
    hidden = total.shape[-1]
    rows = total.numel() // hidden
    config = config_for("norm_backward", total, hidden)
    programs = min(_PROGRAMS, triton.cdiv(rows, config.blocks["ROWS"]))
    change = torch.empty_like(total)
    partial = torch.empty((programs, hidden), dtype=torch.float32, device=total.device)
    operands = [change, partial, grad, grad if grad_total is None else grad_total, total, scale, weight]
    launch_on(
        total,
        norm_backward,
        (programs,),
        *(as_bits(tensor) for tensor in operands),
        rows,
        hidden,
        weight_offset,
        config=config,
        HAS_TOTAL=grad_total is not None,
    )
    return change, partial.sum(dim=0).to(weight.dtype)


def compile_cases(arch: int) -> Iterator[CompileCase]:
    """See `fg_kernels.triton.cases`; what differs in little more than its loads is compiled for one width."""
    numbers = {"rows": "i32", "hidden": "i32"}
    for dtype, both, widths in (
        ("bf16", True, _ALL),
        ("fp32", True, _ALL),
        ("fp16", True, _ONE),
        ("bf16", False, _ONE),
    ):
        wide, narrow = "*fp32", POINTERS[dtype]
        signature = {"out": narrow, "total": narrow, "scale": wide, "x": narrow, "residual": narrow, "weight": narrow}
        forward = signature | numbers | {"eps": "fp32", "weight_offset": "fp32"}
        yield from _cases(arch, norm_forward, dtype, {"HAS_RESIDUAL": both}, forward, (), widths)
        signature = {"change": narrow, "partial": wide, "grad": narrow, "grad_total": narrow, "total": narrow}
        backward = signature | {"scale": wide, "weight": narrow} | numbers | {"weight_offset": "fp32"}
        yield from _cases(arch, norm_backward, dtype, {"HAS_TOTAL": both}, backward, (_TYPICAL_TRIPS,), widths)


_ALL = range(1 << 20)
_ONE = (4096,)


def _cases(
    arch: int,
    kernel: triton.JITFunction,
    dtype: str,
    constants: Mapping[str, bool],
    signature: Mapping[str, str],
    trips: tuple[int, ...],
    widths: Container[int],
) -> Iterator[CompileCase]:
    name = kernel.fn.__name__
    for config in configs_of(name, arch):
        rows, width = config.blocks["ROWS"], config.blocks["WIDTH"]
        if width in widths:
            yield CompileCase(
                name=f"{name}/{'two' if all(constants.values()) else 'one'}-{dtype}",
                kernel=kernel,
                signature=signature,
                constants=constants,
                config=config,
                elements=rows * width * math.prod(trips),
                trips=trips,
                divisible=frozenset(name for name, kind in signature.items() if kind.startswith("*")) | {"hidden"},
            )
