"""A row of logits to its loss and, in a second pass over it, to its gradient: one program for each row."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from fg_kernels.reference.cross_entropy import Losses
from fg_kernels.reference.linear_cross_entropy import LossOptions
from fg_kernels.triton.cases import CompileCase
from fg_kernels.triton.elementwise import as_bits, load_wide_or, store_rounded
from fg_kernels.triton.launch import Config, config_for, configs_of, launch_on


@triton.jit
def tanh(value):
    """By the exponential of what is never positive, so that nothing overflows."""
    shrunk = tl.exp(-2.0 * tl.abs(value))
    size = (1.0 - shrunk) / (1.0 + shrunk)
    return tl.where(value < 0, -size, size)


@triton.jit
def capped(value, softcap, CAPPED: tl.constexpr):
    """Scaled logits as the loss sees them."""
    if CAPPED:
        value = softcap * tanh(value / softcap)
    return value


@triton.jit
def normalizer_and_sum(
    row, columns, logit_scale, softcap, CAPPED: tl.constexpr, SMOOTHED: tl.constexpr, BLOCK: tl.constexpr
):
    """The logsumexp of a row by its running maximum and sum, and the sum of its logits if it is wanted."""
    peak = float("-inf")
    total = 0.0
    summed = 0.0
    for start in range(0, columns, BLOCK):
        column = start + tl.arange(0, BLOCK)
        inside = column < columns
        value = capped(load_wide_or(row, column, inside, 0.0) * logit_scale, softcap, CAPPED)
        if SMOOTHED:
            summed += tl.sum(tl.where(inside, value, 0.0))
        value = tl.where(inside, value, float("-inf"))
        higher = tl.maximum(peak, tl.max(value))
        base = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(peak - base) + tl.sum(tl.exp(value - base))
        peak = higher
    return peak + tl.log(total), summed


@triton.jit
def softmax_gradient(
    logits,
    gradient,
    target,
    factors,
    losses,
    normalizers,
    columns,
    logits_stride,
    gradient_stride,
    ignore_index,
    logit_scale,
    softcap,
    z_loss,
    label_smoothing,
    CAPPED: tl.constexpr,
    SMOOTHED: tl.constexpr,
    WEIGHTED: tl.constexpr,
    WANTED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write loss and normalizer of one row of `logits`, and its gradient to `gradient`, which may be `logits`.

    Every element is read and written by the same thread, so that a row may be its own gradient.
    """
    program = tl.program_id(0).to(tl.int64)
    label = tl.load(target + program)
    counted = label != ignore_index
    is_class = (label >= 0) & (label < columns)
    row = logits + program * logits_stride
    aimed = load_wide_or(row, tl.where(is_class, label, 0), is_class, float("nan")) * logit_scale
    picked = capped(aimed, softcap, CAPPED)
    normalizer, summed = normalizer_and_sum(row, columns, logit_scale, softcap, CAPPED, SMOOTHED, BLOCK)
    expected = picked
    if SMOOTHED:
        expected = picked + label_smoothing * (summed / columns - picked)
    loss = normalizer - expected + z_loss * normalizer * normalizer
    tl.store(losses + program, tl.where(counted, loss, 0.0))
    tl.store(normalizers + program, tl.where(counted, normalizer, 0.0))
    if WANTED:
        scale = logit_scale
        if WEIGHTED:
            scale = logit_scale * tl.load(factors + program)
        pull = scale * (1.0 + 2.0 * z_loss * normalizer)
        away = scale * (1.0 - label_smoothing) + 0.0 * picked  # NaN where the target is no class
        evenly = scale * label_smoothing / columns
        row_gradient = gradient + program * gradient_stride
        for start in range(0, columns, BLOCK):
            column = start + tl.arange(0, BLOCK)
            inside = column < columns
            value = load_wide_or(row, column, inside, 0.0) * logit_scale
            slope = 1.0
            if CAPPED:
                bent = tanh(value / softcap)
                slope = 1.0 - bent * bent
                value = softcap * bent
            value = pull * tl.exp(value - normalizer) - tl.where(column == label, away, 0.0)
            if SMOOTHED:
                value -= evenly
            store_rounded(row_gradient, column, tl.where(counted, value * slope, 0.0), inside)


def overwrite(
    logits: Tensor, target: Tensor, options: LossOptions, factors: Tensor | None, gradient: Tensor | None
) -> Losses:
    """Launch for `logits` (rows, vocabulary); see `fg_kernels.reference.cross_entropy.overwrite`."""
    rows, columns = logits.shape
    losses, normalizers = (torch.empty(rows, dtype=torch.float32, device=logits.device) for _ in range(2))
    written = logits if gradient is None else gradient
    weights = losses if factors is None else factors.to(torch.float32)
    launch_on(
        logits,
        softmax_gradient,
        (rows,),
        as_bits(logits),
        as_bits(written),
        target.contiguous(),
        weights.contiguous(),
        losses,
        normalizers,
        columns,
        logits.stride(0),
        written.stride(0),
        options.ignore_index,
        float(options.logit_scale),
        float(options.softcap or 1.0),
        float(options.z_loss),
        float(options.label_smoothing),
        CAPPED=options.softcap is not None,
        SMOOTHED=options.label_smoothing > 0,
        WEIGHTED=factors is not None,
        WANTED=gradient is not None,
        config=config_for("softmax_gradient", logits, columns),
    )
    return Losses(losses, normalizers)


# A vocabulary that is a multiple of every block, for counting.
_COLUMNS = 131072


def compile_cases(arch: int) -> Iterator[CompileCase]:
    """See `fg_kernels.triton.cases`."""
    for config in configs_of("softmax_gradient", arch):
        yield _case("softmax_gradient/fp32-to-bf16", "*fp32", "*u16", config)
        yield _case("softmax_gradient/bf16", "*u16", "*u16", config)
        yield _case("softmax_gradient/fp32", "*fp32", "*fp32", config)
        yield _case("softmax_gradient/fp16", "*fp16", "*fp16", config)
        yield _case("softmax_gradient/all-options", "*fp32", "*u16", config, capped=True, smoothed=True, weighted=True)
        yield _case("softmax_gradient/loss-only", "*fp32", "*fp32", config, wanted=False)


def _case(
    name: str,
    logits: str,
    gradient: str,
    config: Config,
    *,
    capped: bool = False,
    smoothed: bool = False,
    weighted: bool = False,
    wanted: bool = True,
) -> CompileCase:
    signature = {"logits": logits, "gradient": gradient, "target": "*i64"}
    signature |= dict.fromkeys(("factors", "losses", "normalizers"), "*fp32")
    signature |= {"columns": "i32", "logits_stride": "i32", "gradient_stride": "i32", "ignore_index": "i32"}
    signature |= dict.fromkeys(("logit_scale", "softcap", "z_loss", "label_smoothing"), "fp32")
    trips = _COLUMNS // config.blocks["BLOCK"]
    return CompileCase(
        name=name,
        kernel=softmax_gradient,
        signature=signature,
        constants={"CAPPED": capped, "SMOOTHED": smoothed, "WEIGHTED": weighted, "WANTED": wanted},
        config=config,
        elements=_COLUMNS,
        trips=(trips, trips) if wanted else (trips,),
        divisible=frozenset({"logits", "gradient", "columns", "logits_stride", "gradient_stride"}),
        exact=False,
    )
