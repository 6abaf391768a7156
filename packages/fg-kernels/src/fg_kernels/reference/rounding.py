"""Stochastic rounding from fp32 to bf16: up or down at random, so that the expected value is exact.

Rounding to nearest loses every update smaller than half a step of bf16 (2**-9 of the value): training stalls.
Rounding `x` up with probability `(x - below) / (above - below)` keeps small updates in expectation (Gupta, Agrawal,
Gopalakrishnan and Narayanan, "Deep learning with limited numerical precision", ICML 2015). Here 16 random bits are
added to the fp32 pattern before its low half is cut off, which is that rule exactly: the cut half *is* the distance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fg_kernels.errors import OperandError
from fg_kernels.philox import ELEMENTS_PER_BLOCK, noise16
from fg_kernels.window import Window

WHOLE = Window()

_EXPONENT = 0x7F80_0000
_NAN = 0x7FC0

# Elements per pass: bounds the temporaries (about 40 bytes each) and keeps them in the cache of a CPU.
_CPU_CHUNK = 1 << 16
_DEVICE_CHUNK = 1 << 24
assert _CPU_CHUNK % ELEMENTS_PER_BLOCK == 0 and _DEVICE_CHUNK % ELEMENTS_PER_BLOCK == 0


def sr_copy_(dst: Tensor, src: Tensor, *, seed: int, name: str, step: int | Tensor, window: Window = WHOLE) -> Tensor:
    """Round `src` stochastically into `dst`, in place.

    The noise of an element depends only on (seed, name, step, index within the parameter): any split of a parameter
    into pieces, each with its `window`, writes the same bits. Values that bf16 represents are unchanged, infinities are
    kept, NaN becomes the canonical 0x7FC0, and a finite value never becomes infinite (it stops at the largest bf16).

    Args:
        dst: bf16 tensor of any shape.
        src: fp32 tensor of the same shape.
        seed: of the run.
        name: whole-model name of the parameter.
        step: update number; or a 0-d integer tensor on the same device, so that a captured graph can advance it.
        window: where the elements of `dst` lie within the whole, flattened parameter.

    Returns:
        `dst`.

    Raises:
        OperandError: wrong dtype or shape.
    """
    check_rounding(dst, src)
    in_place = dst.is_contiguous()
    target = (dst.detach() if in_place else torch.empty(dst.shape, dtype=dst.dtype, device=dst.device)).view(-1)
    values = src.detach().reshape(-1)
    if not window.contiguous:  # gathered from whole blocks of noise: shards of columns are small
        noise = noise16(values.numel(), seed=seed, name=name, step=step, window=window, device=values.device)
        target.copy_(_round_with(values, noise))
    chunk = _CPU_CHUNK if dst.device.type == "cpu" else _DEVICE_CHUNK
    for start in range(0, values.numel() if window.contiguous else 0, chunk):
        piece, part = values[start : start + chunk], Window(window.offset + start)
        noise = noise16(piece.numel(), seed=seed, name=name, step=step, window=part, device=piece.device)
        target[start : start + chunk] = _round_with(piece, noise)
    if not in_place:
        dst.detach().copy_(target.view(dst.shape))
    return dst


def sr_add_(
    dst: Tensor,
    src: Tensor,
    *,
    alpha: float = 1.0,
    seed: int,
    name: str,
    step: int | Tensor,
    window: Window = WHOLE,
) -> Tensor:
    """Add `alpha * src` to the bf16 tensor `dst` in fp32 and round once, stochastically; see `sr_copy_`.

    Args:
        dst: bf16 tensor, changed in place.
        src: floating point tensor of the same shape; it is raised to fp32.
        alpha: factor of `src`.
        seed: of the run.
        name: whole-model name of the parameter.
        step: update number; or a 0-d integer tensor on the same device, so that a captured graph can advance it.
        window: where the elements of `dst` lie within the whole, flattened parameter.

    Returns:
        `dst`.

    Raises:
        OperandError: wrong dtype or shape.
    """
    return sr_copy_(dst, sum_to_round(dst, src, alpha), seed=seed, name=name, step=step, window=window)


def check_rounding(dst: Tensor, src: Tensor) -> None:
    """Raise `OperandError` unless fp32 `src` can be rounded into bf16 `dst`."""
    if dst.dtype != torch.bfloat16 or src.dtype != torch.float32:
        raise OperandError(f"stochastic rounding goes from float32 to bfloat16, not from {src.dtype} to {dst.dtype}")
    _check_shapes(dst, src)


def sum_to_round(dst: Tensor, src: Tensor, alpha: float) -> Tensor:
    """Return `dst + alpha * src` in fp32; raise `OperandError` unless `sr_add_` can round it into `dst`."""
    if dst.dtype != torch.bfloat16 or not src.is_floating_point():
        raise OperandError(f"a floating point tensor is added to a bfloat16 one, not {src.dtype} to {dst.dtype}")
    _check_shapes(dst, src)  # torch would spread a smaller `src`
    return dst.detach().float().add_(src.detach().float(), alpha=alpha)


def _check_shapes(dst: Tensor, src: Tensor) -> None:
    if dst.shape != src.shape:
        raise OperandError(f"shapes differ: dst {tuple(dst.shape)}, src {tuple(src.shape)}")


def _round_with(values: Tensor, noise: Tensor) -> Tensor:
    """Round fp32 `values` to bf16 with 16 random bits per element, both (count,)."""
    bits = values.view(torch.int32)
    rounded = bits + noise
    rounded = torch.where((rounded & _EXPONENT) == _EXPONENT, bits, rounded)
    return torch.where(values.isnan(), _NAN, rounded >> 16).to(torch.int16).view(torch.bfloat16)
