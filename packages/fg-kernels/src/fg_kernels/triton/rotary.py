"""Rotary position embedding in one pass, in place or not; see `fg_kernels.reference.rotary`."""

from __future__ import annotations

from collections.abc import Iterator

import triton
import triton.language as tl
from torch import Tensor

from fg_kernels.triton.cases import CompileCase
from fg_kernels.triton.elementwise import POINTERS, as_bits, load_wide, store_rounded
from fg_kernels.triton.launch import config_for, configs_of, launch_on


@triton.jit
def turn(first, second, cosine, sine):
    """Rotate pairs; every product and sum is rounded to fp32, as in torch."""
    return first * cosine - second * sine, second * cosine + first * sine


@triton.jit
def rotate(
    dst,
    src,
    cos,
    sin,
    position_ids,
    positions,
    pairs,
    heads,
    seq,
    dst_batch,
    dst_head,
    dst_seq,
    src_batch,
    src_head,
    src_seq,
    INVERSE: tl.constexpr,
    INTERLEAVED: tl.constexpr,
    HAS_POSITIONS: tl.constexpr,
    PAIRS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One token's rotation for as many heads as make `BLOCK` pairs; `dst` may be `src` itself."""
    HEADS: tl.constexpr = BLOCK // PAIRS
    groups = tl.cdiv(heads, HEADS)
    token = (tl.program_id(0) // groups).to(tl.int64)
    head = tl.program_id(0) % groups * HEADS + tl.arange(0, HEADS)[:, None].to(tl.int64)
    batch, place = token // seq, token % seq
    position = place
    if HAS_POSITIONS:
        position = tl.load(position_ids + token)

    pair = tl.arange(0, PAIRS)
    known = (pair < pairs) & (position >= 0) & (position < positions)
    cosine = tl.where(known, load_wide(cos, position * pairs + pair, known), float("nan"))[None, :]
    sine = tl.where(known, load_wide(sin, position * pairs + pair, known), float("nan"))[None, :]
    if INVERSE:
        sine = -sine

    source = batch * src_batch + place * src_seq + head * src_head
    target = batch * dst_batch + place * dst_seq + head * dst_head
    if INTERLEAVED:
        feature = tl.arange(0, 2 * PAIRS)[None, :]
        mask = (head < heads) & (feature < 2 * pairs)
        both = tl.reshape(load_wide(src, source + feature, mask), (HEADS, PAIRS, 2))
        first, second = tl.split(both)
        first, second = turn(first, second, cosine, sine)
        store_rounded(dst, target + feature, tl.reshape(tl.join(first, second), (HEADS, 2 * PAIRS)), mask)
    else:
        mask = (head < heads) & (pair < pairs)[None, :]
        first = load_wide(src, source + pair[None, :], mask)
        second = load_wide(src, source + pairs + pair[None, :], mask)
        first, second = turn(first, second, cosine, sine)
        store_rounded(dst, target + pair[None, :], first, mask)
        store_rounded(dst, target + pairs + pair[None, :], second, mask)


def rotate_into(
    dst: Tensor, src: Tensor, cos: Tensor, sin: Tensor, position_ids: Tensor | None, *, interleaved: bool, inverse: bool
) -> None:
    """Write the rotated features of `src` (batch, heads, seq, head_dim) to `dst`, which may be `src`; the rest stays.

    The last dimension of both is contiguous; tables and `position_ids` (batch, seq) are contiguous.
    """
    batch, heads, seq, _ = src.shape
    positions, pairs = cos.shape
    config = config_for("rotate", src)
    width = triton.next_power_of_2(pairs)
    grid = (batch * seq * triton.cdiv(heads, config.blocks["BLOCK"] // width),)
    launch_on(
        src,
        rotate,
        grid,
        *(as_bits(tensor) for tensor in (dst, src, cos, sin)),
        cos if position_ids is None else position_ids,
        positions,
        pairs,
        heads,
        seq,
        *dst.stride()[:3],
        *src.stride()[:3],
        config=config,
        INVERSE=inverse,
        INTERLEAVED=interleaved,
        HAS_POSITIONS=position_ids is not None,
        PAIRS=width,
    )


def compile_cases(arch: int) -> Iterator[CompileCase]:
    """See `fg_kernels.triton.cases`; heads of 128 features, all of them rotated."""
    counts = dict.fromkeys(("positions", "pairs", "heads", "seq"), "i32")
    strides = [f"{tensor}_{axis}" for tensor in ("dst", "src") for axis in ("batch", "head", "seq")]
    for config in configs_of("rotate", arch):
        for dtype, pointer in POINTERS.items():
            for interleaved in (False, True):
                tensors = {"dst": pointer, "src": pointer, "cos": "*fp32", "sin": "*fp32", "position_ids": "*i64"}
                yield CompileCase(
                    name=f"rotate/{'interleaved' if interleaved else 'halves'}-{dtype}",
                    kernel=rotate,
                    signature=tensors | counts | dict.fromkeys(strides, "i32"),
                    constants={"INVERSE": False, "INTERLEAVED": interleaved, "HAS_POSITIONS": True, "PAIRS": 64},
                    config=config,
                    elements=2 * config.blocks["BLOCK"],
                    divisible=frozenset({*tensors, *strides, "pairs"}),
                )
