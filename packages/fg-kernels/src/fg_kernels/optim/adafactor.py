"""Adafactor: a second moment of two vectors per matrix, so that state costs almost nothing."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fg_kernels._compat import norms_of
from fg_kernels.errors import HyperparameterError, check_number, check_numbers, check_range
from fg_kernels.optim._base import Fused, Optimizer, moving_average
from fg_kernels.optim._numbers import Scalar, narrow, precise, rate, root, smaller
from fg_kernels.optim._saved import Shapes
from fg_kernels.optim._update import Group, State, Update

if TYPE_CHECKING:
    from fg_kernels.triton.adafactor_plan import Tables, Work

_KERNEL_DTYPES = (torch.bfloat16, torch.float32)


class Adafactor(Optimizer):
    """Adafactor (Shazeer and Stern, arXiv 1804.04235) with decoupled weight decay and stochastic rounding.

    The second moment of a tensor of two or more dimensions is factored, its leading dimensions being folded into the
    rows; that of a vector is kept whole. Its decay rate in update t is `min(1 - t**decay_rate, betas[1])`. The state
    is fp32 beside bf16 parameters. A NaN in a gradient makes all of its parameter NaN, as in torch.

    Triton kernels update all contiguous bf16 and fp32 tensors in three launches, without a first moment; they add up in
    another order than torch, so their results differ in the last bits of fp32. One parameter at a time or all at once,
    they write the same bits.

    Args:
        params: parameters, (name, parameter) pairs or groups of either; names key the rounding noise.
        lr: learning rate; with `relative_step` its upper limit.
        decay_rate: exponent of the second moment's decay, negative.
        clip_threshold: the root mean square of an update, before `lr`, is scaled down to this.
        betas: decay rate of the first moment (used only with `first_moment`), and limit of the second's.
        eps: added to squared gradients, and least root mean square assumed of a parameter by `relative_step`.
        weight_decay: per update, times the step size.
        relative_step: the step size is `min(lr, 1/sqrt(t)) * max(eps[1], rms(parameter))` instead of `lr`.
        rounding: "stochastic" or "nearest", for bf16 parameters.
        seed: of the rounding noise.
        first_moment: average the updates with `betas[0]`; costs 4 bytes per parameter.
        fused: "auto" uses Triton kernels where they fit, True insists on them, False never does.
        capturable: count updates on the device, so that a CUDA graph can be captured.

    Raises:
        KernelError: an argument outside its range.
    """

    kernel = "adafactor"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        decay_rate: float = -0.8,
        clip_threshold: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: tuple[float, float] = (1e-30, 1e-3),
        weight_decay: float = 0.01,
        relative_step: bool = False,
        *,
        rounding: str = "stochastic",
        seed: int = 0,
        first_moment: bool = False,
        fused: Fused = "auto",
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "decay_rate": decay_rate,
            "clip_threshold": clip_threshold,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "relative_step": relative_step,
            "first_moment": first_moment,
        }
        self._tables: dict[Hashable, Tables] = {}
        super().__init__(params, defaults, rounding=rounding, seed=seed, fused=fused, capturable=capturable)

    def check_group(self, group: Group) -> None:
        """See `Optimizer.check_group`."""
        super().check_group(group)
        check_numbers("betas", group["betas"], 2, 0.0, 1.0)
        check_numbers("eps", group["eps"], 2, 0.0)
        check_range("weight_decay", group["weight_decay"], 0.0)
        for name in ("decay_rate", "clip_threshold"):
            check_number(name, group[name])
        if not group["decay_rate"] < 0:
            raise HyperparameterError(f"decay_rate={group['decay_rate']!r} must be negative")
        if not group["clip_threshold"] > 0:
            threshold = group["clip_threshold"]
            raise HyperparameterError(f"clip_threshold={threshold!r} must be positive; math.inf turns it off")

    def state_shapes(self, parameter: Tensor, group: Group) -> Shapes:
        """See `Optimizer.state_shapes`; rows may also be flat, as they were once kept."""
        averages = {key: [shape, (shape.numel(),)] for key, shape in _state_shapes(parameter).items()}
        return averages | {"exp_avg": [parameter.shape]}

    def update_parameter(self, value: Tensor, gradient: Tensor, update: Update) -> None:
        """Decay and update `value`, see `Optimizer.update_parameter`."""
        state, group = update.state, update.group
        rms = _rms(value) if group["relative_step"] else None
        weight, keep, step_size, decay = (narrow(number, value) for number in _rates(update.step, group, rms))
        scale = _factored_scale if value.ndim >= 2 else _full_scale
        change = scale(gradient.square(), state, weight, keep, group["eps"][0]).mul_(gradient)
        excess = (_rms(change) * (1 / group["clip_threshold"])).clamp_(min=1.0)
        change.mul_(excess.reciprocal_() * step_size)
        if group["first_moment"]:
            change = moving_average(state, "exp_avg", change, 1 - group["betas"][0])
        value.mul_(decay).sub_(change)

    def obstacle(self, update: Update) -> str | None:
        """See `Optimizer.obstacle`: bf16 or fp32, contiguous, whole, not too long, without a first moment."""
        return _obstacle(update)

    def update_fused(self, updates: Sequence[Update]) -> None:
        """Carry out updates by Triton kernels: three launches for all of a kind, four for a few matrices."""
        from fg_kernels.triton.adafactor import adafactor_, aligned

        kinds: dict[Hashable, list[tuple[Update, Work]]] = {}
        for update in updates:
            work = _work(update)
            kind = (work.parameter.device, work.parameter.dtype, work.gradient.dtype, aligned(work))
            kinds.setdefault((*kind, update.group["rounding"]), []).append((update, work))
        for kind, members in kinds.items():
            alike, works = [update for update, _ in members], [work for _, work in members]
            tables = self._tables_of((kind, *(update.name for update in alike)))
            counts, rates = _on_device(alike, works, tables)
            stochastic = alike[0].group["rounding"] == "stochastic"
            adafactor_(works, rates, counts, stochastic=stochastic, tables=tables)

    def _restore(self, saved: Mapping[str, Any]) -> None:
        """Also state as it was once kept, one row of numbers where there are three dimensions or more."""
        super()._restore(saved)
        for parameter, state in self.state.items():
            for key, shape in _state_shapes(parameter).items():
                if key in state and state[key].shape != shape:
                    state[key] = state[key].view(shape)

    def _tables_of(self, key: Hashable) -> Tables:
        from fg_kernels.triton.adafactor_plan import Tables

        return self._tables.setdefault(key, Tables())


def _rates(step: Scalar, group: Group, rms: Tensor | None) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """Weights of new squares and of their old average, step size, and factor of the parameter.

    `step` and `rms`, the root mean square of the parameter where the step size depends on it, may have one element
    for each of several parameters.
    """
    weight = 1 - smaller(1 - precise(step) ** group["decay_rate"], group["betas"][1])
    step_size = rate(group)
    if rms is not None:
        step_size = smaller(step_size, 1 / root(precise(step))) * rms.clamp(min=group["eps"][1])
    return weight, 1 - weight, step_size, 1 - step_size * group["weight_decay"]


def _factored_scale(squared: Tensor, state: State, weight: Scalar, keep: Scalar, eps: float) -> Tensor:
    """Average `squared` (…, columns) into row and column means; return their outer product's inverse root."""
    rows, columns = squared.numel() // max(1, squared.shape[-1]), squared.shape[-1]
    by_row = _whole(squared.sum(dim=-1)) * (1 / max(1, columns))
    by_column = _whole(squared.sum(dim=tuple(range(squared.ndim - 1)))) * (1 / max(1, rows))
    row = _average(state, "exp_avg_sq_row", by_row, weight, keep, eps)
    column = _average(state, "exp_avg_sq_col", by_column, weight, keep, eps)
    mean = _whole(row.sum()) * (1 / max(1, rows))
    # Two roots and their quotient never overflow, unlike `(row / mean).rsqrt()`.
    return (_root(mean) / _root(row)).unsqueeze(-1) * _root(column).reciprocal()


def _full_scale(squared: Tensor, state: State, weight: Scalar, keep: Scalar, eps: float) -> Tensor:
    return _root(_average(state, "exp_avg_sq", squared, weight, keep, eps)).reciprocal_()


def _root(values: Tensor) -> Tensor:
    """The square root, correctly rounded: torch's own in fp32 is one unit off for some values on some processors."""
    return values.double().sqrt().to(values.dtype)


def _average(state: State, key: str, mean: Tensor, weight: Scalar, keep: Scalar, eps: float) -> Tensor:
    """Move `state[key]`, zero at first, towards `mean + eps` by `weight`, and return it."""
    if key not in state:
        state[key] = torch.zeros_like(mean)
    return state[key].mul_(keep).add_(mean.add_(eps).mul_(weight))


def _rms(values: Tensor) -> Tensor:
    return _whole(torch.linalg.vector_norm(values)) * (1 / math.sqrt(max(1, values.numel())))


def _whole(tensor: Tensor) -> Tensor:
    """A DTensor of which every rank holds a summand, added up; any other tensor as it is."""
    placements = getattr(tensor, "placements", ())
    if not any(placement.is_partial() for placement in placements):
        return tensor
    from torch.distributed.tensor import Replicate

    added = [Replicate() if placement.is_partial() else placement for placement in placements]
    return cast(Any, tensor).redistribute(placements=added)


def _obstacle(update: Update) -> str | None:
    """What keeps the kernels from carrying out an update, None if nothing does."""
    from fg_kernels.triton.adafactor_plan import MAX_COLUMNS, MAX_VECTOR, shape_of

    parameter, gradient = update.parameter, update.gradient
    if hasattr(parameter, "placements"):
        return "its means go over all shards"
    if not (parameter.is_contiguous() and gradient.is_contiguous()):
        return "it is not contiguous"
    if gradient.dtype not in _KERNEL_DTYPES:
        return f"its gradient is {gradient.dtype}"
    if update.group["first_moment"]:
        return "first_moment is on"
    for key, shape in _state_shapes(parameter).items():
        saved = update.state.get(key)
        if saved is not None and (saved.dtype, saved.shape) != (torch.float32, shape):
            return f"its {key} is {saved.dtype} of shape {tuple(saved.shape)}"
    rows, columns = shape_of(parameter.shape)
    limit = MAX_COLUMNS if rows else MAX_VECTOR
    return f"{columns} columns are more than {limit}" if columns > limit else None


def _state_shapes(parameter: Tensor) -> dict[str, torch.Size]:
    if parameter.ndim < 2:
        return {"exp_avg_sq": parameter.shape}
    return {"exp_avg_sq_row": parameter.shape[:-1], "exp_avg_sq_col": parameter.shape[-1:]}


def _work(update: Update) -> Work:
    """The tensors of an update, with state that is zero at first."""
    from fg_kernels.triton.adafactor_plan import Work

    parameter, state, group = update.parameter, update.state, update.group
    factored = parameter.ndim >= 2
    for key, shape in _state_shapes(parameter).items():
        if key not in state:
            state[key] = torch.zeros(shape, dtype=torch.float32, device=parameter.device)
    return Work(
        parameter=parameter,
        gradient=update.gradient,
        state=state["exp_avg_sq_row" if factored else "exp_avg_sq"],
        column_state=state["exp_avg_sq_col"] if factored else None,
        name=update.name,
        seed=group["seed"],
        eps=group["eps"][0],
        clip_threshold=group["clip_threshold"],
    )


def _on_device(updates: Sequence[Update], works: Sequence[Work], tables: Tables) -> tuple[Tensor, Tensor]:
    """Numbers of the updates (updates,) and rates (updates, 4), as the kernels read them.

    They are computed by the host, in fp64, unless the device alone knows what they depend on.
    """
    device, steps = works[0].parameter.device, [update.step for update in updates]
    if any(isinstance(step, Tensor) for step in steps):
        counts = torch.stack([cast(Tensor, step) for step in steps])
    else:
        counts = tables.counts.written([[int(step)] for step in steps], device).view(-1)
        if not any(_needs_device(update.group) for update in updates):
            rows = [cast(Sequence[float], _rates(update.step, update.group, None)) for update in updates]
            return counts, tables.rates.written(rows, device)
    roots = tables.constants.written([work.constants() for work in works], device)[:, -1]
    parts: list[Tensor] = []
    end = 0
    for _, members in groupby(updates, key=lambda update: id(update.group)):
        part = list(members)
        begin, end = end, end + len(part)
        parts.append(_rates_on_device(part, counts[begin:end], roots[begin:end]))
    return counts, torch.cat(parts)


def _needs_device(group: Group) -> bool:
    return group["relative_step"] or isinstance(group["lr"], Tensor)


def _rates_on_device(updates: Sequence[Update], counts: Tensor, roots: Tensor) -> Tensor:
    """Rates (updates, 4) in fp32 for updates of one group; the host waits for nothing."""
    group, rms = updates[0].group, None
    if group["relative_step"]:
        norms = norms_of([update.parameter for update in updates])
        rms = torch.stack(norms) * roots
    zeros = torch.zeros(len(updates), dtype=torch.float64, device=counts.device)
    return torch.stack([zeros + number for number in _rates(counts, group, rms)], dim=1).float()
