"""What all our optimizers share: one update path per parameter, one rounding, state that survives a round trip."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, TypeAlias, overload

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fg_kernels.errors import (
    HyperparameterError,
    OperandError,
    ParameterGroupError,
    StateMismatchError,
    check_option,
    check_range,
)
from fg_kernels.functional import sr_copy_

ROUNDINGS = ("stochastic", "nearest")
_FULL_PRECISION = (torch.float32, torch.float64)

Group: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, Any]


class Optimizer(torch.optim.Optimizer):
    """Base of optimizers that compute in fp32 and round once when they write bf16.

    A subclass implements `update_parameter` for one parameter; `step` is nothing but a loop over it, so `step_param`
    (called from a hook during the backward pass) gives the same bits. The noise of stochastic rounding is keyed by
    seed, parameter name, update number and element index; parameters passed without names are called
    `param.<position>`, which is reproducible only as long as their order is.

    `rounding` and `seed` are saved in `state_dict()` with each group, like any other hyper-parameter.
    """

    def __init__(self, params: ParamsT, defaults: Group, *, rounding: str, seed: int) -> None:
        if isinstance(defaults["lr"], str):
            raise HyperparameterError(
                f"lr is the text {defaults['lr']!r}, not a number; in YAML write 1.0e-3, not 1e-3"
            )
        check_range("lr", float(defaults["lr"]), 0.0)
        self._slots: dict[Tensor, tuple[int, str]] = {}
        super().__init__(params, defaults | {"rounding": rounding, "seed": seed})

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters, see `torch.optim.Optimizer.add_param_group`.

        Raises:
            OperandError: fp16 or sharded parameters with stochastic rounding, or a dtype that cannot be trained.
            ParameterGroupError: two parameters of one name.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        check_option("rounding", group["rounding"], ROUNDINGS)
        first = len(self._slots)
        names = group.get("param_names") or [f"param.{first + i}" for i in range(len(group["params"]))]
        taken = {name for _, name in self._slots.values()}
        for parameter, name in zip(group["params"], names, strict=True):
            if name in taken:
                raise ParameterGroupError(f"two parameters are named {name!r}; their rounding noise would be the same")
            _check_dtype(name, parameter, group["rounding"])
            taken.add(name)
            self._slots[parameter] = (len(self.param_groups) - 1, name)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.step_param(parameter)
        return loss

    @torch.no_grad()
    def step_param(self, parameter: Tensor) -> None:
        """Update one parameter from its gradient, exactly as `step` would; hooks of `step` are not called.

        Raises:
            ParameterGroupError: the parameter is not one of this optimizer's.
            OperandError: it has no gradient, or a sparse one.
        """
        if parameter not in self._slots:
            raise ParameterGroupError(f"a parameter of shape {tuple(parameter.shape)} is not in this optimizer")
        index, name = self._slots[parameter]
        gradient = parameter.grad
        if gradient is None or gradient.is_sparse:
            raise OperandError(f"{name!r} has {'no' if gradient is None else 'a sparse'} gradient")
        state = self.state[parameter]
        state["step"] = state.get("step", 0) + 1
        group = self.param_groups[index]
        value = parameter.detach() if parameter.dtype in _FULL_PRECISION else parameter.float()
        self.update_parameter(value, gradient.to(value.dtype), state, group, name)
        if value.dtype != parameter.dtype:
            write_rounded(parameter, value, group, name=name, step=state["step"])

    @abstractmethod
    def update_parameter(self, value: Tensor, gradient: Tensor, state: State, group: Group, name: str) -> None:
        """Change `value` in place.

        Args:
            value: the parameter, fp32 (or fp64 if the parameter is).
            gradient: same shape and dtype; may be the parameter's own `grad`, so it is read only.
            state: of this parameter; `state["step"]` counts from 1.
            group: hyper-parameters.
            name: key of the rounding noise.
        """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, bit for bit.

        torch casts floating point state to the dtype of its parameter; ours is fp32 beside bf16 parameters on purpose
        and keeps its dtype.

        Raises:
            StateMismatchError: the parameters are named, and the saved names are others.
        """
        self._check_names(state_dict["param_groups"])
        super().load_state_dict(state_dict)
        saved_ids = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        parameters = chain.from_iterable(group["params"] for group in self.param_groups)
        for key, parameter in zip(saved_ids, parameters, strict=True):
            if key in state_dict["state"]:
                self.state[parameter] = _copied(state_dict["state"][key], parameter.device)

    def _check_names(self, saved_groups: list[Group]) -> None:
        for index, (saved, group) in enumerate(zip(saved_groups, self.param_groups, strict=False)):
            theirs, ours = saved.get("param_names"), group.get("param_names")
            if theirs and ours and list(theirs) != list(ours):
                where = next(_differences(theirs, ours))
                raise StateMismatchError(f"saved optimizer state belongs to other parameters: group {index}, {where}")


def moving_average(state: State, key: str, value: Tensor, weight: float) -> Tensor:
    """Move `state[key]`, zero at first, towards `value` by `weight`, and return it."""
    if key not in state:
        state[key] = torch.zeros_like(value)
    return state[key].lerp_(value, weight)


def write_rounded(target: Tensor, value: Tensor, group: Group, *, name: str, step: int) -> None:
    """Copy `value` into a tensor of fewer bits, rounding as the group says."""
    if target.dtype == torch.bfloat16 and group["rounding"] == "stochastic":
        sr_copy_(target, value, seed=group["seed"], name=name, step=step)
    else:
        target.copy_(value)


def _check_dtype(name: str, parameter: Tensor, rounding: str) -> None:
    if parameter.dtype not in (*_FULL_PRECISION, torch.bfloat16, torch.float16):
        raise OperandError(f"{name!r} has dtype {parameter.dtype}, which cannot be trained")
    if parameter.dtype == torch.float16 and rounding == "stochastic":
        raise OperandError(f"{name!r} is float16: stochastic rounding is for bfloat16; set rounding='nearest'")
    # DTensor, told by its attribute: importing torch.distributed.tensor for a type test would be slow.
    if parameter.dtype == torch.bfloat16 and rounding == "stochastic" and hasattr(parameter, "placements"):
        raise OperandError(f"{name!r} is a sharded bfloat16 tensor, whose noise is undefined; set rounding='nearest'")


def _differences(saved: list[str], ours: list[str]) -> Iterator[str]:
    for position, (theirs, mine) in enumerate(zip(saved, ours, strict=False)):
        if theirs != mine:
            yield f"position {position}: saved {theirs!r}, here {mine!r}"
    yield f"{len(saved)} saved parameters, {len(ours)} here"


def _copied(state: Mapping[str, Any], device: torch.device) -> State:
    return {
        key: value.detach().to(device, copy=True) if isinstance(value, Tensor) else value
        for key, value in state.items()
    }
