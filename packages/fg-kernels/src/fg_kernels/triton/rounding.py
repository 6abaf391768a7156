"""Stochastic rounding as device functions that every optimizer kernel shares, and as kernels of its own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from fg_kernels.philox import ELEMENTS_PER_BLOCK, key_words
from fg_kernels.triton.cases import CompileCase
from fg_kernels.triton.launch import config_for, configs_of, launch_on
from fg_kernels.window import Window

_GREATEST = tl.constexpr(torch.finfo(torch.bfloat16).max)
_NAN = tl.constexpr(0x7FC00000)


@triton.jit
def noise16(block, step, name_low, name_high, seed):
    """16 random bits for each of the eight elements of every `block` (integers); the shape gains (2, 2, 2).

    The layout of `fg_kernels.philox`: element `i` of a block takes word `i // 2`, low half first.
    """
    block, step = block.to(tl.uint32), step.to(tl.uint32)
    first, second, third, fourth = tl.philox(seed, block, step, name_low, name_high, 7)
    words = tl.join(tl.join(first, third), tl.join(second, fourth))
    return tl.join(words & 0xFFFF, words >> 16)


@triton.jit
def noise16_of(index, step, name_low, name_high, seed):
    """16 random bits for each element of `index` (int64): the same as `noise16`, at eight times its work."""
    block, step = (index // 8).to(tl.uint32), step.to(tl.uint32)
    first, second, third, fourth = tl.philox(seed, block, step, name_low, name_high, 7)
    word = (index % 8) // 2
    bits = tl.where(word < 2, tl.where(word == 0, first, second), tl.where(word == 2, third, fourth))
    return tl.where(index % 2 == 0, bits & 0xFFFF, bits >> 16)


@triton.jit
def round_stochastically(value, noise):
    """The bits (uint16) of fp32 `value` rounded to bf16 with 16 random bits per element."""
    # From the greatest bf16 on nothing is added: a finite value stays finite.
    noise = tl.where(tl.abs(value) < _GREATEST, noise, 0)
    bits = tl.where(value != value, _NAN, value.to(tl.uint32, bitcast=True))
    return ((bits + noise) >> 16).to(tl.uint16)


@triton.jit
def round_to_nearest(value):
    """The bits (uint16) of fp32 `value` rounded to the nearest bf16, ties to even."""
    bits = value.to(tl.uint32, bitcast=True)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return tl.where(value != value, 0x7FC0, rounded >> 16).to(tl.uint16)


@triton.jit
def bf16_to_fp32(bits):
    """The value of bf16 `bits` (uint16)."""
    return (bits.to(tl.uint32) << 16).to(tl.float32, bitcast=True)


@triton.jit
def sr_copy(dst, src, step, count, offset, name_low, name_high, seed, BLOCK: tl.constexpr):
    """Round `src` (fp32) into `dst` (bits of bf16): one run of elements whose `offset` is a multiple of 8."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    index = first + tl.arange(0, BLOCK)
    value = tl.load(src + index, mask=index < count)
    block = (offset + first) // 8 + tl.arange(0, BLOCK // 8)
    noise = tl.reshape(noise16(block, tl.load(step), name_low, name_high, seed), (BLOCK,))
    tl.store(dst + index, round_stochastically(value, noise), mask=index < count)


@triton.jit
def sr_copy_window(dst, src, step, count, offset, width, stride, name_low, name_high, seed, BLOCK: tl.constexpr):
    """Round `src` (fp32) into `dst` (bits of bf16), any window of the whole."""
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(src + index, mask=index < count)
    whole = offset + index // width * stride + index % width
    noise = noise16_of(whole, tl.load(step), name_low, name_high, seed)
    tl.store(dst + index, round_stochastically(value, noise), mask=index < count)


def sr_copy_(dst: Tensor, src: Tensor, *, seed: int, name: str, step: Tensor, window: Window) -> None:
    """Launch for contiguous `dst` (bf16) and `src` (fp32); see `fg_kernels.functional.sr_copy_`."""
    count = dst.numel()
    config = config_for("sr_copy", dst)
    grid = (triton.cdiv(count, config.blocks["BLOCK"]),)
    words = key_words(seed, name)
    bits = dst.view(torch.uint16)
    if window.contiguous and window.offset % ELEMENTS_PER_BLOCK == 0:
        launch_on(dst, sr_copy, grid, bits, src, step, count, window.offset, *words, config=config)
    else:
        width = window.width or max(1, count)
        place = (window.offset, width, window.stride or width)
        launch_on(dst, sr_copy_window, grid, bits, src, step, count, *place, *words, config=config)


def compile_cases(arch: int) -> Iterator[CompileCase]:
    """See `fg_kernels.triton.cases`."""
    start = {"dst": "*u16", "src": "*fp32", "step": "*i64", "count": "i64", "offset": "i64"}
    key = {"name_low": "i32", "name_high": "i32", "seed": "i64"}
    aligned = frozenset({"dst", "src", "count", "offset"})
    for config in configs_of("sr_copy", arch):
        block = config.blocks["BLOCK"]
        yield CompileCase(
            name="sr_copy", kernel=sr_copy, signature=start | key, config=config, elements=block, divisible=aligned
        )
        place = {"width": "i64", "stride": "i64"}
        yield CompileCase(
            name="sr_copy_window",
            kernel=sr_copy_window,
            signature=start | place | key,
            config=config,
            elements=block,
            divisible=aligned,
        )
