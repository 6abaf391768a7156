"""SGD with momentum for bf16 weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fg_kernels.errors import HyperparameterError, check_number, check_range
from fg_kernels.optim._base import Fused, Optimizer
from fg_kernels.optim._fused import Tables, batches, mismatch_of, obstacle_of, row_of, variant_of
from fg_kernels.optim._numbers import Scalar, at_first, narrow, rate
from fg_kernels.optim._saved import Shapes
from fg_kernels.optim._update import Group, State, Update, local

_BUFFER = "momentum_buffer"


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Sutskever et al., ICML 2013) if wanted.

    On fp32 and fp64 parameters it is `torch.optim.SGD`: weight decay is added to the gradient and so goes through the
    momentum (it is coupled, unlike AdamW's), and the momentum begins with the first gradient, undampened. A bf16
    parameter is raised to fp32, updated there, and rounded once; its momentum is fp32. On CUDA devices all parameters
    are updated by one Triton kernel, with the same bits. All arguments after `lr` are keywords, because torch has them
    in another order.

    Args:
        params: parameters, (name, parameter) pairs or groups of either; names key the rounding noise.
        lr: learning rate, a float or a 0-d tensor.
        momentum: decay rate of the momentum; with 0 there is no state but the number of updates.
        weight_decay: times the parameter, added to the gradient.
        nesterov: look one update ahead; needs momentum and no dampening.
        dampening: the gradient enters the momentum with weight `1 - dampening`, from the second update on.
        rounding: "stochastic" or "nearest", for bf16 parameters.
        seed: of the rounding noise.
        fused: "auto" uses the kernel where it fits, True insists on it, False never does.
        capturable: count updates on the device, so that a CUDA graph can be captured.

    Raises:
        KernelError: an argument outside its range.
    """

    kernel = "sgd"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        dampening: float = 0.0,
        rounding: str = "stochastic",
        seed: int = 0,
        fused: Fused = "auto",
        capturable: bool = False,
    ) -> None:
        self._tables: dict[Any, Tables] = {}
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "dampening": dampening,
        }
        super().__init__(params, defaults, rounding=rounding, seed=seed, fused=fused, capturable=capturable)

    def check_group(self, group: Group) -> None:
        """See `Optimizer.check_group`."""
        super().check_group(group)
        check_range("momentum", group["momentum"], 0.0)
        check_range("weight_decay", group["weight_decay"], 0.0)
        check_number("dampening", group["dampening"])
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise HyperparameterError(
                "nesterov=True needs momentum above 0 and dampening=0, "
                f"not {group['momentum']!r} and {group['dampening']!r}"
            )

    def state_shapes(self, parameter: Tensor, group: Group) -> Shapes:
        """See `Optimizer.state_shapes`."""
        return {_BUFFER: [parameter.shape]}

    def update_parameter(self, value: Tensor, gradient: Tensor, update: Update) -> None:
        """Update `value`, see `Optimizer.update_parameter`.

        Single operations, each rounded to fp32, so that the kernel can repeat them bit for bit.
        """
        group = update.group
        numbers = Numbers(*(narrow(number, value) for number in numbers_of(group, update.step)))
        direction = gradient + value * numbers.weight_decay if group["weight_decay"] else gradient
        if group["momentum"]:
            _create_buffer(update)
            buffer = update.state[_BUFFER].mul_(numbers.momentum).add_(direction * numbers.fresh)
            direction = direction + buffer * numbers.momentum if group["nesterov"] else buffer
        value.sub_(direction * numbers.lr)

    def obstacle(self, update: Update) -> str | None:
        """See `Optimizer.obstacle`: bf16 or fp32, contiguous, shards that are one run of elements."""
        state = _tensors(update)
        return mismatch_of(update, state, (torch.float32,)) or obstacle_of(update, state)

    def update_fused(self, updates: Sequence[Update]) -> None:
        """See `Optimizer.update_fused`: one launch, as long as all have the same dtypes and kind of momentum."""
        from fg_kernels.triton.launch import config_for
        from fg_kernels.triton.sgd import sgd_

        for update in updates:
            if update.group["momentum"]:
                _create_buffer(update)
        for variant, members in batches(updates, _variant):
            config = config_for("sgd", local(members[0].parameter))
            rows = [row_of(update, _tensors(update), ("",)) for update in members]
            tables = self._tables.setdefault((variant, members[0].name), Tables())
            sgd_(tables.lookup(members, rows, numbers_of, config.blocks["BLOCK"]), dict(variant), config)

    def _restored(self, saved: Mapping[str, Any], device: torch.device) -> State:
        """Raise the momentum to fp32 that torch keeps in bf16 beside bf16 weights."""
        state = super()._restored(saved, device)
        if _BUFFER in state and state[_BUFFER].itemsize < torch.float32.itemsize:
            state[_BUFFER] = state[_BUFFER].float()
        return state


class Numbers(NamedTuple):
    """What one update multiplies with, in the order of the kernel's table; `fresh` is the weight of the gradient."""

    lr: Scalar
    weight_decay: Scalar
    momentum: Scalar
    fresh: Scalar


def numbers_of(group: Group, step: Scalar) -> Numbers:
    """The numbers of update `step`."""
    return Numbers(
        lr=rate(group),
        weight_decay=group["weight_decay"],
        momentum=group["momentum"],
        fresh=at_first(step, 1.0, 1 - group["dampening"]),
    )


def _variant(update: Update) -> dict[str, Any]:
    kinds = {"MOMENTUM": update.group["momentum"] != 0, "NESTEROV": bool(update.group["nesterov"])}
    return variant_of(update) | kinds


def _create_buffer(update: Update) -> None:
    if _BUFFER not in update.state:
        wide = torch.float64 if update.parameter.dtype == torch.float64 else torch.float32
        update.state[_BUFFER] = torch.zeros_like(update.parameter, dtype=wide)


def _tensors(update: Update) -> tuple[Tensor, ...]:
    """The state tensors of the kernel's table; none before the first update."""
    return (update.state[_BUFFER],) if update.group["momentum"] and _BUFFER in update.state else ()
