"""Rotary position embedding: pairs of features are turned by an angle that grows with the position.

Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", arXiv 2104.09864. Pairs are the two halves
of the rotated features (GPT-NeoX, Llama) or, interleaved, neighbours (the paper, GPT-J). The rotation is computed in
fp32 (fp64 for fp64 operands) and rounded once; its gradient is the rotation by the opposite angle.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fg_kernels.errors import OperandError
from fg_kernels.reference._operands import describe, wide_dtype


def rope_tables(inv_freq: Tensor, length: int, *, attention_scaling: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return cosines and sines (length, pairs) of the positions 0 to length - 1, in fp32.

    Args:
        inv_freq: radians per position of each pair, (pairs,), from `rope_frequencies`.
        length: number of positions.
        attention_scaling: factor of both, from `rope_frequencies`.
    """
    angles = torch.outer(torch.arange(length, dtype=torch.float32, device=inv_freq.device), inv_freq.float())
    return angles.cos() * attention_scaling, angles.sin() * attention_scaling


def rope(
    x: Tensor, cos: Tensor, sin: Tensor, *, position_ids: Tensor | None = None, interleaved: bool = False
) -> Tensor:
    """Return `x` with its first `2 * pairs` features rotated.

    Args:
        x: floating point (batch, heads, seq, head_dim), of any strides.
        cos: (positions, pairs) with `2 * pairs <= head_dim`; a constant, no gradient reaches it.
        sin: same shape and dtype as `cos`.
        position_ids: int64 (batch, seq) or (1, seq), the row of `cos` and `sin` for each token; by default a token's
            place in the sequence.
        interleaved: pairs are neighbours instead of halves.

    Returns:
        Tensor of the shape and dtype of `x`.

    Raises:
        OperandError: operands that do not fit together; positions beyond the table.
    """
    check_rope(x, cos, sin, position_ids)
    check_positions(position_ids, cos)
    return rotated(x, cos, sin, position_ids, interleaved=interleaved)


def rope_(
    x: Tensor, cos: Tensor, sin: Tensor, *, position_ids: Tensor | None = None, interleaved: bool = False
) -> Tensor:
    """Rotate `x` in place; see `rope`."""
    return x.copy_(rope(x, cos, sin, position_ids=position_ids, interleaved=interleaved))


def check_rope(x: Tensor, cos: Tensor, sin: Tensor, position_ids: Tensor | None) -> None:
    """Raise `OperandError` unless the operands fit together; positions are looked at by `check_positions`."""
    if not (x.is_floating_point() and cos.is_floating_point()) or cos.dtype != sin.dtype or cos.shape != sin.shape:
        raise OperandError(f"expected floating point x, and cos and sin alike; got {describe(x=x, cos=cos, sin=sin)}")
    if x.ndim != 4 or cos.ndim != 2 or not 0 < 2 * cos.shape[1] <= x.shape[3]:
        raise OperandError(
            f"expected x (batch, heads, seq, head_dim) and cos (positions, pairs) with 0 < 2 * pairs <= head_dim; "
            f"got {describe(x=x, cos=cos)}"
        )
    if not x.device == cos.device == sin.device == (x if position_ids is None else position_ids).device:
        raise OperandError(f"operands on different devices: x on {x.device}, cos on {cos.device}, sin on {sin.device}")
    if position_ids is None:
        if x.shape[2] > cos.shape[0]:
            raise OperandError(f"a sequence of {x.shape[2]} tokens exceeds tables of {cos.shape[0]} positions")
    elif position_ids.dtype != torch.int64 or not _covers(position_ids, x):
        expected = f"int64 ({x.shape[0]}, {x.shape[2]}) or (1, {x.shape[2]})"
        raise OperandError(f"expected position_ids {expected}; got {describe(position_ids=position_ids)}")


def _covers(position_ids: Tensor, x: Tensor) -> bool:
    """Whether there is a position for each token. Sizes looked up in a set would be constants of compiled code."""
    batch, _, seq, _ = x.shape
    return position_ids.shape == (batch, seq) or position_ids.shape == (1, seq)


def check_positions(position_ids: Tensor | None, cos: Tensor) -> None:
    """Raise `OperandError` for positions that the tables lack.

    Not on CUDA, where looking would make the host wait: there a token at such a position becomes NaN.
    """
    if position_ids is None or position_ids.is_cuda or position_ids.numel() == 0:
        return
    low, high = (int(bound) for bound in position_ids.aminmax())
    if low < 0 or high >= cos.shape[0]:
        raise OperandError(f"position_ids from {low} to {high} exceed tables of {cos.shape[0]} positions")


def rotated(
    x: Tensor, cos: Tensor, sin: Tensor, position_ids: Tensor | None, *, interleaved: bool, inverse: bool = False
) -> Tensor:
    """`rope` without its checks, or the rotation back."""
    wide = wide_dtype(x)
    cosine, sine = (_rows_of(table, x.shape[2], position_ids).to(wide) for table in (cos, sin))
    sine = -sine if inverse else sine
    pairs = cos.shape[1]
    turning, rest = x[..., : 2 * pairs], x[..., 2 * pairs :]
    grouped = turning.unflatten(-1, (pairs, 2) if interleaved else (2, pairs)).to(wide)
    axis = -1 if interleaved else -2
    first, second = grouped.unbind(axis)
    turned = torch.stack((first * cosine - second * sine, second * cosine + first * sine), dim=axis)
    return torch.cat((turned.flatten(-2).to(x.dtype), rest), dim=-1)


def _rows_of(table: Tensor, seq: int, position_ids: Tensor | None) -> Tensor:
    """The rows of a table for each token, (batch or 1, 1, seq, pairs); NaN where there is none."""
    if position_ids is None:
        return table[:seq].unsqueeze(0).unsqueeze(0)
    known = (position_ids >= 0) & (position_ids < table.shape[0])
    rows = table[torch.where(known, position_ids, 0)]
    return rows.masked_fill(~known.unsqueeze(-1), torch.nan).unsqueeze(1)
