"""Tiles of tokens and classes, so that neither a row nor a column of the logits ever exists as a whole.

The first pass goes through the classes for one block of tokens after the other. It keeps the running maximum and sum
of an online softmax (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018), and with them, as in
FlashAttention (Dao et al., 2022) with the weights in the place of keys and values, the gradient of the hidden states.
The second pass computes the logits again, for one block of classes after the other, whose gradient is final then: four
matrix products in all instead of three, and no accumulator of the size of the weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fg_kernels.reference._chunked_loss import Gradients, Problem, add_product, product, slices
from fg_kernels.reference.cross_entropy import cap, loss_of


@dataclass(kw_only=True, slots=True)
class _Running:
    """What the first pass knows of a block of rows after some of the classes.

    Attributes:
        peak: (rows,), largest logit.
        total: (rows,), sum of `exp(logit - peak)`.
        sum: (rows,), of the logits.
        picked: (rows,), logit of the target.
        slope: (rows,), derivative of the cap there.
        pulled: (rows, hidden), sum of weights by `exp(logit - peak)` and slope.
        even: (rows, hidden), sum of weights by slope, for label smoothing; (1, hidden) without a cap.
    """

    peak: Tensor
    total: Tensor
    sum: Tensor
    picked: Tensor
    slope: Tensor
    pulled: Tensor | None
    even: Tensor | None


def tiled_loss(problem: Problem, gradients: Gradients) -> Tensor:
    """Return the losses (tokens,), and fill `gradients`, whatever their dtypes are."""
    losses = problem.x.new_empty(problem.sizes.tokens, dtype=problem.sizes.accumulate)
    normalizers = torch.empty_like(losses)
    for rows in problem.row_slices():
        losses[rows], normalizers[rows] = _first_pass(problem, gradients, rows)
    if gradients.weight is not None or gradients.bias is not None:
        for tile in problem.class_slices():
            _second_pass(problem, gradients, tile, normalizers)
    return losses


def _first_pass(problem: Problem, gradients: Gradients, rows: slice) -> tuple[Tensor, Tensor]:
    x = problem.tokens(rows)
    running = _start(problem, x, wants_gradient=gradients.x is not None)
    for tile in problem.class_slices():
        _advance(problem, running, x, tile, rows)
    normalizer = running.total.log().add_(running.peak)
    loss = loss_of(normalizer, running.picked, running.sum / problem.sizes.vocabulary, problem.options)
    if gradients.x is not None:
        gradients.x[rows] = _hidden_gradient(problem, running, normalizer, rows)
    ignored = problem.target[rows] == problem.options.ignore_index
    return loss.masked_fill_(ignored, 0.0), normalizer


def _start(problem: Problem, x: Tensor, *, wants_gradient: bool) -> _Running:
    zeros = x.new_zeros(x.shape[0], dtype=problem.sizes.accumulate)
    wide = torch.zeros_like(x, dtype=problem.sizes.accumulate) if wants_gradient else None
    even = None
    if wide is not None and problem.options.label_smoothing:
        even = wide.clone() if problem.sizes.capped else wide.new_zeros(1, wide.shape[1])
    return _Running(
        peak=torch.full_like(zeros, -torch.inf),
        total=zeros.clone(),
        sum=zeros.clone(),
        picked=torch.full_like(zeros, torch.nan),  # and so it stays for a target that is no class
        slope=torch.ones_like(zeros),
        pulled=wide,
        even=even,
    )


def _advance(problem: Problem, running: _Running, x: Tensor, tile: slice, rows: slice) -> None:
    """Take the classes of one tile into account."""
    weight = problem.classes(tile)
    logits, slope = _tile_of_logits(problem, x, weight, tile, wants_slope=running.pulled is not None)
    index, inside = _index(problem, tile, rows)
    running.picked = torch.where(inside, logits.gather(1, index).squeeze(1), running.picked)
    if slope is not None:
        running.slope = torch.where(inside, slope.gather(1, index).squeeze(1), running.slope)
    if problem.options.label_smoothing:
        running.sum += logits.sum(dim=1)
    peak = torch.maximum(running.peak, logits.amax(dim=1))
    # Where every logit so far is -inf (classes that are masked out), the difference would be NaN.
    shrink = torch.where(running.peak == -torch.inf, 0.0, (running.peak - peak).exp_())
    logits.sub_(torch.where(peak == -torch.inf, 0.0, peak)[:, None]).exp_()
    running.peak, running.total = peak, running.total * shrink + logits.sum(dim=1)
    if running.pulled is not None:
        running.pulled.mul_(shrink[:, None])
        pull = logits if slope is None else logits.mul_(slope)
        add_product(running.pulled, pull.to(problem.sizes.operand), weight)
    if running.even is not None:
        _add_even(running.even, slope, weight)


def _add_even(even: Tensor, slope: Tensor | None, weight: Tensor) -> None:
    if slope is None:
        even.add_(weight.sum(dim=0, dtype=even.dtype))
    else:
        add_product(even, slope.to(weight.dtype), weight)


def _hidden_gradient(problem: Problem, running: _Running, normalizer: Tensor, rows: slice) -> Tensor:
    """Put together the parts of the gradient: of the normalizer, of the target, of all classes evenly."""
    smoothing, scale = problem.options.label_smoothing, _scale(problem, rows)
    pull = (1 + 2 * problem.options.z_loss * normalizer) / running.total
    assert running.pulled is not None
    gradient = running.pulled.mul_(pull[:, None])
    _subtract_aimed(problem, gradient, (1 - smoothing) * running.slope, rows)
    if running.even is not None:
        gradient.sub_(running.even, alpha=smoothing / problem.sizes.vocabulary)
    return gradient.mul_(scale[:, None]).masked_fill_(scale[:, None] == 0, 0.0)


def _subtract_aimed(problem: Problem, gradient: Tensor, share: Tensor, rows: slice) -> None:
    """Subtract each target's weights, as many at a time as find room where a tile of logits was."""
    classes = problem.target[rows].clamp(min=0, max=problem.sizes.vocabulary - 1)
    wide = problem.sizes.accumulate
    room = problem.plan.rows * problem.plan.classes * problem.sizes.cell
    step = max(1, room // (2 * gradient.shape[1] * wide.itemsize))
    for part in slices(len(classes), step):
        gradient[part].sub_(problem.weight[classes[part]].to(wide).mul_(share[part, None]))


def _second_pass(problem: Problem, gradients: Gradients, tile: slice, normalizers: Tensor) -> None:
    """Finish the gradients of one block of classes."""
    weight = problem.classes(tile)
    wide = torch.zeros_like(weight, dtype=problem.sizes.accumulate) if gradients.weight is not None else None
    summed = weight.new_zeros(weight.shape[0], dtype=problem.sizes.accumulate) if gradients.bias is not None else None
    for rows in problem.row_slices():
        x = problem.tokens(rows)
        slopes = _tile_of_slopes(problem, x, weight, tile, rows, normalizers[rows])
        if summed is not None:
            summed.add_(slopes.sum(dim=0))
        if wide is not None:
            add_product(wide, slopes.to(problem.sizes.operand).t(), x)
        del slopes, x  # before there are others
    if gradients.weight is not None and wide is not None:
        gradients.weight[tile] = wide
    if gradients.bias is not None and summed is not None:
        gradients.bias[tile] = summed


def _tile_of_slopes(
    problem: Problem, x: Tensor, weight: Tensor, tile: slice, rows: slice, normalizer: Tensor
) -> Tensor:
    """Return the gradient of the logits (rows, classes) in the accumulation dtype."""
    options, scale = problem.options, _scale(problem, rows)
    slopes, capped = _tile_of_logits(problem, x, weight, tile, wants_slope=True)
    slopes.sub_(normalizer[:, None]).exp_().mul_((scale * (1 + 2 * options.z_loss * normalizer))[:, None])
    index, inside = _index(problem, tile, rows)
    aimed = torch.where(inside, (options.label_smoothing - 1) * scale, 0.0)
    slopes.scatter_add_(1, index, aimed[:, None])
    if options.label_smoothing:
        slopes.sub_((scale * (options.label_smoothing / problem.sizes.vocabulary))[:, None])
    return slopes if capped is None else slopes.mul_(capped)


def _tile_of_logits(
    problem: Problem, x: Tensor, weight: Tensor, tile: slice, *, wants_slope: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the logits (rows, classes), scaled and capped, and the derivative of the cap."""
    logits = x.new_empty(x.shape[0], weight.shape[0], dtype=problem.sizes.accumulate)
    product(x, weight.t(), out=logits)
    if problem.bias is not None:
        logits.add_(problem.bias[tile])
    return logits, cap(logits, problem.options, wants_slope=wants_slope)


def _scale(problem: Problem, rows: slice) -> Tensor:
    """The factor (rows,) of every gradient of a row; zero where ignored."""
    counted = (problem.target[rows] != problem.options.ignore_index).to(problem.sizes.accumulate)
    scaled = counted.mul_(problem.options.logit_scale)
    return scaled if problem.factors is None else scaled.mul_(problem.factors[rows])


def _index(problem: Problem, tile: slice, rows: slice) -> tuple[Tensor, Tensor]:
    """Where within the tile the targets are (rows, 1), any place for those outside, and which are inside (rows,)."""
    target = problem.target[rows]
    inside = (target >= tile.start) & (target < tile.stop) & (target != problem.options.ignore_index)
    return torch.where(inside, target - tile.start, 0)[:, None], inside
