"""Tokens in chunks: the logits of a chunk become their own gradient before the next chunk's exist.

As in Liger (Hsu et al., "Liger Kernel: Efficient Triton Kernels for LLM Training", 2024), with two differences: losses
and the gradient of the weight are accumulated in fp32 whatever the operands are, and a chunk is as large as a memory
budget allows, because small chunks spend their time adding up the weight gradient. Where dtypes allow it the logits
are all that a chunk needs: its hidden states, cleared where they are ignored, stand where their gradient will be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from fg_kernels.reference._budget import Plan, Sizes
from fg_kernels.reference.cross_entropy import Overwrite
from fg_kernels.reference.linear_cross_entropy import LossOptions

# Elements that are raised at a time on a CPU.
_PART = 1 << 14


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Operands, none of which is changed, and how they are worked on.

    Attributes:
        x: (tokens, hidden).
        weight: (vocabulary, hidden).
        bias: (vocabulary,).
        target: (tokens,).
        factors: (tokens,), weights of the losses in the gradient; one by default.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    target: Tensor
    factors: Tensor | None
    options: LossOptions
    sizes: Sizes
    plan: Plan

    def tokens(self, rows: slice) -> Tensor:
        """Hidden states as operands, zero where ignored: what stands there may be NaN."""
        ignored = (self.target[rows] == self.options.ignore_index)[:, None]
        return self.x[rows].to(self.sizes.operand, copy=True).masked_fill_(ignored, 0.0)

    def classes(self, tile: slice) -> Tensor:
        """Weights as operands."""
        return self.weight[tile].to(self.sizes.operand)

    def row_slices(self) -> Iterator[slice]:
        return slices(self.sizes.tokens, self.plan.rows)

    def class_slices(self) -> Iterator[slice]:
        return slices(self.sizes.vocabulary, self.plan.classes)


class Gradients(NamedTuple):
    """Where the gradients go; None for those that nobody asked for."""

    x: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    @property
    def wanted(self) -> bool:
        return not (self.x is None and self.weight is None and self.bias is None)


def chunked_loss(problem: Problem, gradients: Gradients, overwrite: Overwrite) -> Tensor:
    """Return the losses (tokens,), and fill `gradients`; that of the weight and the bias in the accumulation dtype."""
    losses = problem.x.new_empty(problem.sizes.tokens, dtype=problem.sizes.accumulate)
    for rows in problem.row_slices():
        losses[rows] = _chunk(problem, gradients, rows, overwrite)
    return losses


def _chunk(problem: Problem, gradients: Gradients, rows: slice, overwrite: Overwrite) -> Tensor:
    x = _operand(problem, gradients, rows)
    logits = _logits(problem, x)
    slopes = _where_slopes_go(problem, gradients, logits)
    factors = None if problem.factors is None else problem.factors[rows]
    losses = overwrite(logits, problem.target[rows], problem.options, factors, slopes).loss
    if slopes is not None:
        del logits
        _add(problem, gradients, rows, x, slopes)
    return losses


def _operand(problem: Problem, gradients: Gradients, rows: slice) -> Tensor:
    """Hidden states as operands; only the gradient of the weight mixes those of several tokens."""
    x = problem.x[rows].to(problem.sizes.operand)
    if gradients.weight is None:
        return x
    if gradients.x is None or gradients.x.dtype != x.dtype:
        return problem.tokens(rows)
    ignored = problem.target[rows] == problem.options.ignore_index
    return gradients.x[rows].copy_(x).masked_fill_(ignored[:, None], 0.0)


def _logits(problem: Problem, x: Tensor) -> Tensor:
    """Return (rows, vocabulary), neither scaled nor capped."""
    logits = x.new_empty(x.shape[0], problem.sizes.vocabulary, dtype=problem.sizes.logits)
    bias = problem.bias
    if bias is not None and bias.dtype == x.dtype == logits.dtype:  # rounded once
        for tile in problem.class_slices():
            torch.addmm(bias[tile], x, problem.classes(tile).t(), out=logits[:, tile])
        return logits
    for tile in problem.class_slices():
        product(x, problem.classes(tile).t(), out=logits[:, tile])
    return logits if bias is None else logits.add_(bias)


def _where_slopes_go(problem: Problem, gradients: Gradients, logits: Tensor) -> Tensor | None:
    """The gradient of the logits takes their place, or is an operand of another dtype."""
    if not gradients.wanted:
        return None
    if logits.dtype == problem.sizes.operand:
        return logits
    return torch.empty_like(logits, dtype=problem.sizes.operand)


def _add(problem: Problem, gradients: Gradients, rows: slice, x: Tensor, slopes: Tensor) -> None:
    """Add what one chunk contributes; `slopes` is the gradient of its logits."""
    if gradients.bias is not None:
        gradients.bias.add_(slopes.sum(dim=0, dtype=gradients.bias.dtype))
    if gradients.weight is not None:
        add_product(gradients.weight, slopes.t(), x)
    if gradients.x is not None:  # last, for x may stand there
        _write_hidden_gradient(problem, gradients.x[rows], slopes)


def _write_hidden_gradient(problem: Problem, gradient: Tensor, slopes: Tensor) -> None:
    """One product writes it, unless the weights must be converted by parts or the result."""
    if gradient.dtype == slopes.dtype and problem.plan.classes >= problem.sizes.vocabulary:
        torch.mm(slopes, problem.classes(slice(None)), out=gradient)
        return
    total = torch.zeros_like(gradient, dtype=problem.sizes.accumulate)
    for tile in problem.class_slices():
        add_product(total, slopes[:, tile], problem.classes(tile))
    gradient.copy_(total)


def product(a: Tensor, b: Tensor, *, out: Tensor) -> None:
    """Write `a @ b` to `out`, which is never narrower than the operands, and on a CPU of the same dtype."""
    if a.dtype == out.dtype:
        torch.mm(a, b, out=out)
    else:
        torch.mm(a, b, out_dtype=out.dtype, out=out)


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add `a @ b` to `total`, which is never narrower than the operands."""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    elif total.is_cuda:
        torch.addmm(total, a, b, out_dtype=total.dtype, out=total)
    else:
        _add_raised_product(total, a, b)


def _add_raised_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """By parts small enough that their copies in the wider dtype do not matter: torch has no such product on a CPU."""
    inner = max(1, _PART // total.shape[1])
    outer = max(1, _PART // min(inner, max(1, a.shape[1])))
    for across in slices(a.shape[1], inner):
        raised = b[across].to(total.dtype)
        for along in slices(a.shape[0], outer):
            total[along].addmm_(a[along, across].to(total.dtype), raised)


def slices(length: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, length)) for start in range(0, length, step))
