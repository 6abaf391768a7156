"""SinkGD: gradients whose rows and columns are all made equally long, without any state."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fg_kernels.errors import check_integer, check_range
from fg_kernels.optim._base import Fused, Optimizer
from fg_kernels.optim._numbers import rate
from fg_kernels.optim._update import Group, Update


class SinkGD(Optimizer):
    """Sinkhorn gradient descent (Scetbon, Ma, Gong and Meeds, arXiv 2502.06742) with decoupled weight decay.

    The gradient of a matrix is scaled along rows and columns in turn, until all rows have one length and all columns
    another. Tensors of more dimensions have their leading ones folded into the rows; a vector is divided by its length,
    a scalar taken as it is. The only state is the number of updates, which keys the rounding noise.

    Args:
        params: parameters, (name, parameter) pairs or groups of either; names key the rounding noise.
        lr: learning rate; a 0-d tensor can change between the replays of a CUDA graph.
        num_iters: how often rows and then columns are scaled; 0 leaves the gradient as it is.
        weight_decay: per update, times `lr`.
        eps: least length that a row, column or vector is divided by, so that zeros stay zero.
        normalize_output: divide the result of a matrix (rows, columns), whose length is `sqrt(rows * columns)`, by
            that: every update then has length `lr`.
        rounding: "stochastic" or "nearest", for bf16 parameters.
        seed: of the rounding noise.
        fused: True is refused, for there is no kernel of the rule; only what writes bf16 weights, `sr_copy_`, has one.
        capturable: see `Optimizer`.

    Raises:
        KernelError: an argument outside its range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        num_iters: int = 5,
        weight_decay: float = 0.0,
        eps: float = 1e-8,
        normalize_output: bool = True,
        *,
        rounding: str = "stochastic",
        seed: int = 0,
        fused: Fused = "auto",
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "num_iters": num_iters,
            "weight_decay": weight_decay,
            "eps": eps,
            "normalize_output": normalize_output,
        }
        super().__init__(params, defaults, rounding=rounding, seed=seed, fused=fused, capturable=capturable)

    def check_group(self, group: Group) -> None:
        """See `Optimizer.check_group`."""
        super().check_group(group)
        for name in ("num_iters", "weight_decay", "eps"):
            check_range(name, group[name], 0)
        check_integer("num_iters", group["num_iters"])

    def update_parameter(self, value: Tensor, gradient: Tensor, update: Update) -> None:
        """Decay and update `value`, see `Optimizer.update_parameter`."""
        group, lr = update.group, rate(update.group)
        value.mul_(1 - lr * group["weight_decay"])
        value.sub_(_direction(gradient, group["num_iters"], group["eps"], group["normalize_output"]) * lr)


def balance(matrix: Tensor, iterations: int, eps: float) -> Tensor:
    """Scale rows to the length `sqrt(columns)` and columns to `sqrt(rows)`, in turn.

    Args:
        matrix: (rows, columns).
        iterations: of both.
        eps: least length that is divided by.

    Returns:
        (rows, columns), a new tensor. After the last iteration columns have their length exactly, rows nearly.
    """
    rows, columns = matrix.shape
    balanced = matrix.clone()
    for _ in range(iterations):
        balanced.mul_(math.sqrt(columns) / _length(balanced, eps, dim=1))
        balanced.mul_(math.sqrt(rows) / _length(balanced, eps, dim=0))
    return balanced


def _direction(gradient: Tensor, iterations: int, eps: float, normalize: bool) -> Tensor:
    if gradient.ndim == 0:
        return gradient
    if gradient.ndim == 1:
        return gradient / _length(gradient, eps, dim=0)
    balanced = balance(gradient.flatten(0, -2), iterations, eps).reshape(gradient.shape)
    return balanced.div_(math.sqrt(gradient.numel())) if normalize and gradient.numel() else balanced


def _length(values: Tensor, eps: float, dim: int) -> Tensor:
    return torch.linalg.vector_norm(values, dim=dim, keepdim=True).clamp(min=eps)
