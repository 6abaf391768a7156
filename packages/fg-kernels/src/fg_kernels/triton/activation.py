"""Gated linear units, forward and backward in one pass each; see `fg_kernels.reference.activation`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from fg_kernels.reference.activation import ACTIVATIONS, halves
from fg_kernels.triton.cases import CompileCase
from fg_kernels.triton.elementwise import POINTERS, as_bits, load_wide, store_rounded
from fg_kernels.triton.launch import config_for, configs_of, launch_on


@triton.jit
def share_of(x, ACTIVATION: tl.constexpr):
    """What an activation multiplies fp32 `x` by."""
    if ACTIVATION == "gelu":
        return 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))
    elif ACTIVATION == "silu":
        return 1.0 / (1.0 + tl.exp(-x))
    else:
        return 1.0 / (1.0 + tl.exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)))


@triton.jit
def slope_of(x, share, ACTIVATION: tl.constexpr):
    """The derivative of an activation at `x`, given `share_of` it."""
    if ACTIVATION == "gelu":
        return share + x * (tl.exp(-0.5 * x * x) * 0.3989422804014327)
    elif ACTIVATION == "silu":
        return share + x * share * (1.0 - share)
    else:
        return share + x * share * (1.0 - share) * (1.5957691216057308 * (1.0 + 0.134145 * x * x))


@triton.jit
def tile(width, BLOCK: tl.constexpr):
    """Row (int64), columns and mask of a program; programs of a row are neighbours."""
    blocks = tl.cdiv(width, BLOCK)
    row = (tl.program_id(0) // blocks).to(tl.int64)
    column = (tl.program_id(0) % blocks).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return row, column, column < width


@triton.jit
def gated_forward(out, gate, up, width, stride, ACTIVATION: tl.constexpr, BLOCK: tl.constexpr):
    """Rows of `gate` and `up` lie `stride` apart, those of `out` `width`."""
    row, column, mask = tile(width, BLOCK)
    source = row * stride + column
    x = load_wide(gate, source, mask)
    result = x * share_of(x, ACTIVATION) * load_wide(up, source, mask)
    store_rounded(out, row * width + column, result, mask)


@triton.jit
def gated_backward(dgate, dup, grad, gate, up, width, stride, ACTIVATION: tl.constexpr, BLOCK: tl.constexpr):
    """Rows of `grad` lie `width` apart, all others `stride`; `dgate` and `dup` may be `gate` and `up` themselves."""
    row, column, mask = tile(width, BLOCK)
    place = row * stride + column
    x = load_wide(gate, place, mask)
    share = share_of(x, ACTIVATION)
    change = load_wide(grad, row * width + column, mask)
    scaled = change * load_wide(up, place, mask)
    store_rounded(dgate, place, scaled * slope_of(x, share, ACTIVATION), mask)
    store_rounded(dup, place, change * (x * share), mask)


def gated(parts: Sequence[Tensor], activation: str) -> Tensor:
    """Launch for contiguous `parts`; see `fg_kernels.reference.activation.gated`."""
    gate, up = halves(parts)
    out = torch.empty(gate.shape, dtype=gate.dtype, device=gate.device)
    _launch(gated_forward, [out, gate, up], gate, packed=len(parts) == 1, activation=activation)
    return out


def gated_gradients(grad: Tensor, parts: Sequence[Tensor], activation: str, into: Sequence[Tensor]) -> None:
    """Launch for contiguous tensors; write the gradients of `parts` to `into`, which may be `parts`."""
    gate, up = halves(parts)
    operands = [*halves(into), grad, gate, up]
    _launch(gated_backward, operands, gate, packed=len(parts) == 1, activation=activation)


def _launch(
    kernel: triton.JITFunction, operands: Sequence[Tensor], gate: Tensor, *, packed: bool, activation: str
) -> None:
    width = gate.shape[-1] if packed else gate.numel()
    rows, stride = (gate.numel() // max(1, width), 2 * width) if packed else (1, width)
    config = config_for("gated", gate, width)
    grid = (rows * triton.cdiv(width, config.blocks["BLOCK"]),)
    bits = [as_bits(operand) for operand in operands]
    launch_on(gate, kernel, grid, *bits, width, stride, config=config, ACTIVATION=activation)


def compile_cases(arch: int) -> Iterator[CompileCase]:
    """See `fg_kernels.triton.cases`."""
    variants = [("bf16", activation) for activation in ACTIVATIONS] + [("fp16", "silu"), ("fp32", "silu")]
    operands = {
        gated_forward: ("out", "gate", "up"),
        gated_backward: ("dgate", "dup", "grad", "gate", "up"),
    }
    for config in configs_of("gated", arch):
        for kernel, names in operands.items():
            for dtype, activation in variants:
                yield CompileCase(
                    name=f"{kernel.fn.__name__}/{activation}-{dtype}",
                    kernel=kernel,
                    signature=dict.fromkeys(names, POINTERS[dtype]) | {"width": "i64", "stride": "i64"},
                    constants={"ACTIVATION": activation},
                    config=config,
                    elements=config.blocks["BLOCK"],
                    exact=activation != "gelu",  # the error function of CUDA's library
                    divisible=frozenset({*names, "width", "stride"}),
                )
