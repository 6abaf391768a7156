"""Muon with stochastic rounding."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fg_kernels._compat import newton_schulz
from fg_kernels.errors import OperandError, check_integer, check_numbers, check_option, check_range
from fg_kernels.optim._base import Fused, Optimizer, moving_average
from fg_kernels.optim._mesh import own_part, whole
from fg_kernels.optim._numbers import Scalar, rate
from fg_kernels.optim._saved import Shapes
from fg_kernels.optim._update import Group, Update, local

_LR_ADJUSTMENTS = ("original", "match_rms_adamw")
_PRODUCT_DTYPES = (torch.bfloat16, torch.float32)


class Muon(Optimizer):
    """Momentum whose matrices are orthogonalised (Jordan, https://kellerjordan.github.io/posts/muon/).

    For the two-dimensional weights of hidden layers; embeddings, heads, norms and biases belong to another optimizer,
    see `make_re_multiopt`. On fp32 weights it is `torch.optim.Muon` to the bit; bf16 weights are decayed and updated
    in fp32 and rounded once, with fp32 momentum. A DTensor's direction is gathered and orthogonalised on every rank,
    which then updates its own part.

    Args:
        params: matrices, (name, matrix) pairs or groups of either; names key the rounding noise.
        lr: learning rate; a 0-d tensor can change between the replays of a CUDA graph.
        weight_decay: per update, times `lr`.
        momentum: decay rate of the gradient's average.
        nesterov: look one update ahead.
        ns_coefficients: of the quintic Newton-Schulz polynomial.
        eps: least norm a matrix is divided by.
        ns_steps: Newton-Schulz iterations, below 100.
        adjust_lr_fn: None or "original" scales by `sqrt(max(1, rows / columns))`; "match_rms_adamw" by
            `0.2 * sqrt(max(rows, columns))` (Liu et al., arXiv 2502.16982), which fits AdamW's `lr`.
        rounding: "stochastic" or "nearest", for bf16 weights.
        seed: of the rounding noise.
        ns_dtype: of the Newton-Schulz products: bfloat16, as in torch, or float32 for processors without bf16 units.
        fused: True is refused, for there is no kernel of the rule; only what writes bf16 weights, `sr_copy_`, has one.
        capturable: see `Optimizer`.

    Raises:
        OperandError: a parameter is not a matrix.
        KernelError: an argument outside its range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        rounding: str = "stochastic",
        seed: int = 0,
        ns_dtype: torch.dtype = torch.bfloat16,
        fused: Fused = "auto",
        capturable: bool = False,
    ) -> None:
        if ns_dtype not in _PRODUCT_DTYPES:
            raise OperandError(f"ns_dtype={ns_dtype}; valid: {', '.join(map(str, _PRODUCT_DTYPES))}")
        self.ns_dtype = ns_dtype
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults, rounding=rounding, seed=seed, fused=fused, capturable=capturable)

    def check_group(self, group: Group) -> None:
        """See `Optimizer.check_group`."""
        super().check_group(group)
        check_range("weight_decay", group["weight_decay"], 0.0)
        check_range("momentum", group["momentum"], 0.0, 1.0)
        check_numbers("ns_coefficients", group["ns_coefficients"], 3)
        check_range("eps", group["eps"], 0.0)
        check_range("ns_steps", group["ns_steps"], 1, 100)
        check_integer("ns_steps", group["ns_steps"])
        if group["adjust_lr_fn"] is not None:
            check_option("adjust_lr_fn", group["adjust_lr_fn"], _LR_ADJUSTMENTS)

    def check_parameter(self, name: str, parameter: Tensor) -> None:
        """Raise `OperandError` if a parameter is not a matrix."""
        if parameter.ndim != 2:
            shape = tuple(parameter.shape)
            raise OperandError(f"Muon takes matrices; {name!r} has shape {shape}: give it to another optimizer")

    def state_shapes(self, parameter: Tensor, group: Group) -> Shapes:
        """See `Optimizer.state_shapes`."""
        return {"momentum_buffer": [parameter.shape]}

    def update_parameter(self, value: Tensor, gradient: Tensor, update: Update) -> None:
        """Decay and update `value`, see `Optimizer.update_parameter`."""
        group, lr = update.group, rate(update.group)
        average = moving_average(update.state, "momentum_buffer", gradient, 1 - group["momentum"])
        direction = orthogonalize(
            whole(gradient.lerp(average, group["momentum"]) if group["nesterov"] else average),
            coefficients=group["ns_coefficients"],
            steps=group["ns_steps"],
            eps=group["eps"],
            dtype=self.ns_dtype,
        )
        value.mul_(1 - lr * group["weight_decay"])
        _subtract(local(value), own_part(direction, value), lr * _lr_ratio(group["adjust_lr_fn"], value.shape))


def orthogonalize(
    matrix: Tensor,
    *,
    coefficients: tuple[float, float, float],
    steps: int,
    eps: float,
    dtype: torch.dtype,
) -> Tensor:
    """Push all singular values of `matrix` (rows, columns) towards 1 by a quintic Newton-Schulz iteration.

    Returns:
        (rows, columns) in `dtype`, with singular values of about 0.7 to 1.2.
    """
    if dtype == torch.bfloat16:
        return newton_schulz(matrix, coefficients, steps, eps)
    return _iterate(matrix.to(dtype, copy=True), coefficients, steps, eps)


def _iterate(x: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """torch's iteration in the dtype of `x`, which is overwritten."""
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    x = x.t() if tall else x
    x.div_(x.norm().clamp(min=eps))
    for _ in range(steps):
        gram = x @ x.t()
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x


def _subtract(value: Tensor, direction: Tensor, factor: Scalar) -> None:
    """`value -= factor * direction`; for a float as torch does it, to the bit."""
    if isinstance(factor, Tensor):
        value.sub_(direction.to(value.dtype) * factor)
    else:
        value.add_(direction, alpha=-factor)


def _lr_ratio(adjustment: str | None, shape: torch.Size) -> float:
    rows, columns = shape
    if adjustment == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))
