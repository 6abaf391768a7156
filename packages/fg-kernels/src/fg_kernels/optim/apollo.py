"""APOLLO: Adam in a small random projection, which only says how long each channel's step should be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fg_kernels.errors import HyperparameterError, OperandError, check_integer, check_numbers, check_range
from fg_kernels.optim._base import Fused, Optimizer, moving_average
from fg_kernels.optim._mesh import replicated, whole
from fg_kernels.optim._numbers import Scalar, power, rate, root
from fg_kernels.optim._projection import random_projection
from fg_kernels.optim._saved import Shapes
from fg_kernels.optim._update import Group, State, Update

ProjectorFactory: TypeAlias = Callable[[Tensor, int, int], Tensor]

_GROWTH = 1.01
_TINY = 1e-8


class Apollo(Optimizer):
    """APOLLO (Zhu et al., arXiv 2412.05270): the memory of SGD, step lengths like Adam's.

    The gradient of a matrix is projected along its shorter side to `rank` rows. Adam's moments live there, and a
    channel (a row or column along the longer side) of the raw gradient is scaled by how much Adam would scale its
    projection. From one update to the next the length of a matrix's step grows by at most 1 % (the limiter of Fira,
    Chen et al., arXiv 2410.01623); after an update of length zero it may grow freely. As in the authors' code, Adam's
    bias correction scales the step after that, and `scale` acts by its root. Tensors of more dimensions have their
    leading ones folded into the rows; vectors and scalars are updated by Adam itself (`eps` counts before the bias
    correction, as in the efficient form of its paper).

    The state of a matrix (rows, columns) is `rank * (2 * max + min)` fp32 numbers.

    Args:
        params: parameters, (name, parameter) pairs or groups of either; names key projections and rounding noise.
        lr: learning rate; a 0-d tensor can change between the replays of a CUDA graph.
        betas: decay rates of the two moments.
        eps: added to the root of the second moment.
        weight_decay: per update, times `lr`.
        rank: of the projection, at most the shorter side is used.
        scale: steps of matrices are multiplied by its root; the paper's APOLLO-Mini uses 128.
        scale_front: apply `scale` before the limiter, not after it.
        update_steps: a projection is replaced after so many updates.
        mini: one factor for the whole matrix instead of one for each channel (APOLLO-Mini, with `rank=1`).
        projector_factory: `(gradient (dim, channels), rank, number) -> (rank, dim)`, called for the `number`-th
            projection of a matrix in place of the random one. It is not saved, the projections are.
        rounding: "stochastic" or "nearest", for bf16 parameters.
        seed: of projections and rounding noise.
        fused: True is refused, for there is no kernel of the rule; only what writes bf16 weights, `sr_copy_`, has one.
        capturable: see `Optimizer`; the random projection is then drawn anew in each update, with the same result.

    Raises:
        KernelError: an argument outside its range, or a factory (whose calls cannot be captured) with `capturable`.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        rank: int = 1,
        scale: float = 1.0,
        scale_front: bool = False,
        update_steps: int = 10,
        mini: bool = False,
        projector_factory: ProjectorFactory | None = None,
        *,
        rounding: str = "stochastic",
        seed: int = 0,
        fused: Fused = "auto",
        capturable: bool = False,
    ) -> None:
        if capturable and projector_factory is not None:
            raise HyperparameterError("projector_factory runs on the host: it cannot be used with capturable=True")
        self.projector_factory = projector_factory
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "rank": rank,
            "scale": scale,
            "scale_front": scale_front,
            "update_steps": update_steps,
            "mini": mini,
        }
        super().__init__(params, defaults, rounding=rounding, seed=seed, fused=fused, capturable=capturable)

    def check_group(self, group: Group) -> None:
        """See `Optimizer.check_group`."""
        super().check_group(group)
        check_numbers("betas", group["betas"], 2, 0.0, 1.0)
        for name in ("eps", "weight_decay", "scale"):
            check_range(name, group[name], 0.0)
        for name in ("rank", "update_steps"):
            check_range(name, group[name], 1)
            check_integer(name, group[name])

    def state_shapes(self, parameter: Tensor, group: Group) -> Shapes:
        """See `Optimizer.state_shapes`."""
        if parameter.ndim < 2:
            return {key: [parameter.shape] for key in ("exp_avg", "exp_avg_sq")}
        dim, channels = sorted((math.prod(parameter.shape[:-1]), parameter.shape[-1]))
        rank = _rank_of(group, dim)
        moments = {key: [(rank, channels)] for key in ("exp_avg", "exp_avg_sq")}
        return moments | {"projector": [(rank, dim)], "step_length": [()]}

    def update_parameter(self, value: Tensor, gradient: Tensor, update: Update) -> None:
        """Decay and update `value`, see `Optimizer.update_parameter`."""
        group, lr = update.group, rate(update.group)
        if value.ndim < 2:
            change = _adapted(gradient, update.state, group)
        else:
            change = self._rescaled(gradient.flatten(0, -2), update).reshape(value.shape)
        value.mul_(1 - lr * group["weight_decay"])
        value.sub_(change * (lr * _bias_correction(group["betas"], update.step)))

    def _rescaled(self, matrix: Tensor, update: Update) -> Tensor:
        """Return the gradient (rows, columns) with the length of its channels changed, and its growth limited."""
        group, state = update.group, update.state
        wide = matrix.shape[0] < matrix.shape[1]
        channels = matrix if wide else matrix.t()
        projected = whole(replicated(self._projector(channels, update), channels) @ channels)
        factor = _ratio(_adapted(projected, state, group), projected, None if group["mini"] else 0)
        scaled = channels * (factor if group["mini"] else replicated(factor, channels))
        length = whole(torch.linalg.vector_norm(scaled))
        if group["scale_front"]:
            length = length * math.sqrt(group["scale"])
        scaled.mul_(_limit(length, state) * math.sqrt(group["scale"]))
        return scaled if wide else scaled.t()

    def _projector(self, channels: Tensor, update: Update) -> Tensor:
        """Return the projection (rank, dim) of this update, a plain tensor that all ranks have alike."""
        state, before = update.state, update.step - 1
        every = update.group["update_steps"]
        if "projector" not in state:
            state["projector"] = self._drawn(channels, update, before // every).to(channels.dtype)
        elif isinstance(before, Tensor) or before % every == 0:
            # In place, for the graphs that read it; what only the device can count is drawn anew each time.
            state["projector"].copy_(self._drawn(channels, update, before // every))
        return state["projector"]

    def _drawn(self, channels: Tensor, update: Update, number: int | Tensor) -> Tensor:
        dim = channels.shape[0]
        rank = _rank_of(update.group, dim)
        if self.projector_factory is None:
            key = {"seed": update.group["seed"], "name": update.name, "number": number}
            return random_projection(rank, dim, **key, device=channels.device)
        made = self.projector_factory(whole(channels), rank, int(number))
        if made.shape != (rank, dim):
            shapes = f"{tuple(made.shape)} for {update.name!r}; it must be (rank, dim) = {(rank, dim)}"
            raise OperandError(f"projector_factory made {shapes}")
        return made.detach().to(channels.device)


def _rank_of(group: Group, dim: int) -> int:
    return max(1, min(group["rank"], dim))


def _adapted(gradient: Tensor, state: State, group: Group) -> Tensor:
    """Adam's direction before bias correction."""
    beta1, beta2 = group["betas"]
    first = moving_average(state, "exp_avg", gradient, 1 - beta1)
    second = moving_average(state, "exp_avg_sq", gradient.square(), 1 - beta2)
    return first / second.sqrt().add_(group["eps"])


def _ratio(adapted: Tensor, projected: Tensor, dim: int | None) -> Tensor:
    """How much longer Adam makes each column (`dim` 0) or everything (None)."""
    return torch.linalg.vector_norm(adapted, dim=dim) / (torch.linalg.vector_norm(projected, dim=dim) + _TINY)


def _limit(length: Tensor, state: State) -> Tensor:
    """Return the factor, at most 1, by which a step of `length` must shrink so that it is not 1 % over the last one."""
    if "step_length" not in state:
        state["step_length"] = length.clone()
        return torch.ones_like(length)
    last = state["step_length"]
    growth = torch.where(last > 0, length / last, 1.0)
    factor = _GROWTH / growth.clamp(min=_GROWTH)
    last.copy_(length * factor)
    return factor


def _bias_correction(betas: tuple[float, float], step: Scalar) -> Scalar:
    return root(1 - power(betas[1], step)) / (1 - power(betas[0], step))
