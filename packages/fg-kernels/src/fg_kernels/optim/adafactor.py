"""Adafactor: a second moment of two vectors per matrix, so that state costs almost nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fg_kernels.errors import HyperparameterError, check_range
from fg_kernels.optim._base import Group, Optimizer, State, Update, moving_average


class Adafactor(Optimizer):
    """Adafactor (Shazeer and Stern, arXiv 1804.04235) with decoupled weight decay and stochastic rounding.

    The second moment of a tensor of two or more dimensions is factored, its leading dimensions being folded into the
    rows; that of a vector is kept whole. Its decay rate in update t is `min(1 - t**decay_rate, betas[1])`. The state
    is fp32 beside bf16 parameters.

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

    Raises:
        KernelError: an argument outside its range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
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
    ) -> None:
        if not decay_rate < 0:
            raise HyperparameterError(f"decay_rate={decay_rate!r} must be negative")
        check_range("betas[0]", betas[0], 0.0, 1.0)
        check_range("betas[1]", betas[1], 0.0, 1.0)
        for label, number in (("eps[0]", eps[0]), ("eps[1]", eps[1]), ("weight_decay", weight_decay)):
            check_range(label, number, 0.0)
        if not clip_threshold > 0:
            raise HyperparameterError(f"clip_threshold={clip_threshold!r} must be positive; math.inf turns it off")
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
        super().__init__(params, defaults, rounding=rounding, seed=seed)

    def update_parameter(self, value: Tensor, gradient: Tensor, update: Update) -> None:
        """Decay and update `value`, see `Optimizer.update_parameter`."""
        state, group = update.state, update.group
        beta2 = min(1 - state["step"] ** group["decay_rate"], group["betas"][1])
        squared = gradient.square().add_(group["eps"][0])
        if value.ndim >= 2:
            change = _factored_scale(squared, state, 1 - beta2).mul_(gradient)
        else:
            change = _full_scale(squared, state, 1 - beta2).mul_(gradient)
        step_size = _step_size(value, state["step"], group)
        change.mul_(step_size / (_rms(change) / group["clip_threshold"]).clamp_(min=1.0))
        if group["first_moment"]:
            change = moving_average(state, "exp_avg", change, 1 - group["betas"][0])
        value.mul_(1 - step_size * group["weight_decay"]).sub_(change)


def _factored_scale(squared: Tensor, state: State, weight: float) -> Tensor:
    """Average `squared` (…, columns) into row and column means; return their outer product's inverse root."""
    matrix = squared.flatten(0, -2)
    row = moving_average(state, "exp_avg_sq_row", matrix.mean(dim=1), weight)
    column = moving_average(state, "exp_avg_sq_col", matrix.mean(dim=0), weight)
    return torch.outer((row / row.mean()).rsqrt_(), column.rsqrt()).view(squared.shape)


def _full_scale(squared: Tensor, state: State, weight: float) -> Tensor:
    return moving_average(state, "exp_avg_sq", squared, weight).rsqrt()


def _step_size(value: Tensor, step: int, group: Group) -> float | Tensor:
    """Return the step size; a 0-d tensor where it depends on the parameter, so that no device waits."""
    lr = float(group["lr"])
    if not group["relative_step"]:
        return lr
    return _rms(value).clamp_(min=group["eps"][1]) * min(lr, 1 / math.sqrt(step))


def _rms(values: Tensor) -> Tensor:
    return torch.linalg.vector_norm(values) / math.sqrt(max(1, values.numel()))
