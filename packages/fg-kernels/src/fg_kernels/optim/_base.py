"""What all our optimizers share: one update for each parameter, one rounding, state that survives a round trip."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any, ClassVar, Literal, TypeAlias, overload

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fg_kernels._compat import add_to_each, outside_graphs
from fg_kernels.dispatch import choose, fall_back, which
from fg_kernels.errors import (
    BackendError,
    HyperparameterError,
    OperandError,
    ParameterGroupError,
    UnknownOptionError,
    check_integer,
    check_option,
)
from fg_kernels.optim._groups import check_keys, listed, plain_names, prefix_of
from fg_kernels.optim._numbers import Scalar, check_rate
from fg_kernels.optim._saved import Shapes, as_counter, check_saved_names, check_saved_shapes
from fg_kernels.optim._update import Group, Slot, State, Update, has_values
from fg_kernels.window import window_of

ROUNDINGS = ("stochastic", "nearest")
_FULL_PRECISION = (torch.float32, torch.float64)

Fused: TypeAlias = bool | Literal["auto"]


class Optimizer(torch.optim.Optimizer):
    """Base of optimizers that compute in fp32 and round once when they write bf16.

    A subclass implements `update_parameter` in plain torch, the definition of correct; one that has Triton kernels
    names them in `kernel` and implements `update_fused` for any number of parameters at once. `step` hands over all
    parameters, `step_param` (called from a hook during the backward pass) one: the bits are the same. The noise of
    stochastic rounding is keyed by seed, parameter name, update number and element index; parameters passed without
    names are called `param.<position>`, which is reproducible only as long as their order is.

    With `capturable` or a tensor as `lr`, `Update.step` and `group["lr"]` are tensors: rules compute with them by
    `fg_kernels.optim._numbers` and never read them.

    `rounding` and `seed` are saved in `state_dict()` with each group, like any other hyper-parameter. `fused` and
    `capturable` say how, not what, is computed: they belong to the run and are not saved.

    Args:
        params: parameters, (name, parameter) pairs or groups of either.
        defaults: hyper-parameters of a group.
        rounding: "stochastic" or "nearest", for bf16 parameters.
        seed: of the rounding noise.
        fused: "auto" uses Triton kernels where they fit, True insists on them, False never does.
        capturable: count updates on the device, so that a CUDA graph can be captured; `lr` may be a tensor there.
    """

    kernel: ClassVar[str | None] = None

    def __init__(
        self,
        params: ParamsT,
        defaults: Group,
        *,
        rounding: str,
        seed: int,
        fused: Fused = "auto",
        capturable: bool = False,
    ) -> None:
        defaults = defaults | {"rounding": rounding, "seed": seed}
        self.check_group(defaults)
        if fused not in (True, False, "auto"):
            raise UnknownOptionError("fused", fused, ("auto", "True", "False"))
        if fused is True and self.kernel is None:
            raise BackendError(f"{type(self).__name__} has no kernel: fused=True cannot be kept; use fused='auto'")
        self.fused: Fused = fused
        self.capturable = capturable
        self._slots: dict[Tensor, Slot] = {}
        params = listed(params)
        self._prefix = prefix_of(params)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters, see `torch.optim.Optimizer.add_param_group`; on an error none of them is added.

        Names are kept as the model itself has them, without what `torch.compile`, activation checkpointing, FSDP1 and
        DistributedDataParallel put into them: they key the noise, which depends on no wrapper.

        Raises:
            HyperparameterError: a number outside its range.
            OperandError: fp16 parameters with stochastic rounding, or a dtype, shape or shard that cannot be trained.
            ParameterGroupError: two parameters of one name.
            UnknownOptionError: a key that is no hyper-parameter's.
        """
        check_keys(param_group, self.defaults)
        super().add_param_group(param_group)
        with ExitStack() as undo:
            undo.callback(self.param_groups.pop)
            slots = self._slots_of(self.param_groups[-1])
            undo.pop_all()
        self._slots |= slots

    def _slots_of(self, group: Group) -> dict[Tensor, Slot]:
        """Check the last group, and call its parameters by their plain names."""
        self.check_group(group)
        if group.get("param_names"):
            group["param_names"] = plain_names(group["param_names"], self._prefix)
        first = len(self._slots)
        names = group.get("param_names") or [f"param.{first + i}" for i in range(len(group["params"]))]
        taken = {slot.name for slot in self._slots.values()}
        slots: dict[Tensor, Slot] = {}
        for parameter, name in zip(group["params"], names, strict=True):
            if name in taken:
                raise ParameterGroupError(f"two parameters are named {name!r}; their rounding noise would be the same")
            _check_dtype(name, parameter, group["rounding"])
            self.check_parameter(name, parameter)
            taken.add(name)
            slots[parameter] = Slot(len(self.param_groups) - 1, name, window_of(parameter, name))
        return slots

    def check_group(self, group: Group) -> None:
        """Raise `KernelError` if a hyper-parameter, of all groups or of one, is outside its range."""
        check_rate(group["lr"])
        check_option("rounding", group["rounding"], ROUNDINGS)
        check_integer("seed", group["seed"])

    def check_parameter(self, name: str, parameter: Tensor) -> None:
        """Raise `OperandError` if this optimizer cannot train a parameter that others may."""

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
        parameters = chain.from_iterable(group["params"] for group in self.param_groups)
        self._update([parameter for parameter in parameters if parameter.grad is not None])
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
        self._update([parameter])

    def _update(self, parameters: Sequence[Tensor]) -> None:
        """Check everything, then count, then write: on an error of a check nothing has changed.

        What a rule did not carry out, because it or one before it raised, is not counted.
        """
        self._check_capture(parameters)
        updates = [self._prepared(parameter) for parameter in parameters]
        fused = self._taken(updates)
        taken = {id(update) for update in fused}
        plain = [update for update in updates if id(update) not in taken]
        self._count(updates, 1)
        try:
            if fused:
                self._run_kernels(fused)
                fused.clear()
            while plain:
                self._update_plainly(plain[0])
                del plain[0]
        finally:
            self._count([*fused, *plain], -1)

    def _check_capture(self, parameters: Sequence[Tensor]) -> None:
        on_cuda = any(parameter.is_cuda for parameter in parameters)
        if not self.capturable and on_cuda and torch.cuda.is_current_stream_capturing():
            raise HyperparameterError(
                f"{type(self).__name__} has capturable=False: every replay of the CUDA graph that is being captured "
                "would be the same update again; build it with capturable=True"
            )

    def _prepared(self, parameter: Tensor) -> Update:
        slot = self._slots[parameter]
        gradient = parameter.grad
        if gradient is None or gradient.is_sparse:
            raise OperandError(f"{slot.name!r} has {'no' if gradient is None else 'a sparse'} gradient")
        return Update(
            parameter=parameter.detach(),
            gradient=gradient,
            state=self.state[parameter],
            group=self.param_groups[slot.group],
            name=slot.name,
            window=slot.window,
        )

    # Addresses decide and are what kernels are given: a graph of torch.compile breaks here and goes on afterwards.
    @outside_graphs
    def _taken(self, updates: Sequence[Update]) -> list[Update]:
        """The updates that kernels carry out; where tensors have no values, the plain rule tells shapes and dtypes."""
        return [update for update in updates if has_values(update) and self._takes(update)]

    @outside_graphs
    def _run_kernels(self, updates: Sequence[Update]) -> None:
        self.update_fused(updates)

    def _takes(self, update: Update) -> bool:
        """Whether kernels carry out this update.

        Raises:
            BackendError: kernels were insisted on, or fallbacks are refused, and they cannot.
        """
        if self.fused is not False and self._suits_kernel(update):
            return True
        if update.draws_for(update.parameter):
            which("sr_copy_", update.parameter)  # raises now, and not when the update is written
        return False

    def _suits_kernel(self, update: Update) -> bool:
        if self.kernel is None:
            fall_back(type(self).__name__.lower(), "there is no Triton kernel for it")
            return False
        obstacle = self.obstacle(update)
        if obstacle is None:
            backend = "triton" if self.fused is True else "auto"
            return choose(self.kernel, update.parameter, backend=backend) != "reference"
        if self.fused is True:
            raise BackendError(f"{self.kernel}: {update.name!r} cannot be updated by kernels: {obstacle}")
        fall_back(self.kernel, obstacle, update.parameter)
        return False

    def obstacle(self, update: Update) -> str | None:
        """What keeps `update_fused` from carrying out an update whose device and dtype suit it; None if nothing."""
        return None

    def _count(self, updates: Sequence[Update], by: int) -> None:
        if not self.capturable:
            for update in updates:
                update.state["step"] = update.state.get("step", 0) + by
            return
        for update in updates:
            if "step" not in update.state:
                update.state["step"] = torch.zeros((), dtype=torch.int64, device=update.parameter.device)
        if updates:
            add_to_each([update.state["step"] for update in updates], by)

    def _update_plainly(self, update: Update) -> None:
        parameter = update.parameter
        value = parameter if parameter.dtype in _FULL_PRECISION else parameter.float()
        self.update_parameter(value, update.gradient.to(value.dtype), update)
        if value.dtype != parameter.dtype:
            update.round_into(parameter, value)

    @abstractmethod
    def update_parameter(self, value: Tensor, gradient: Tensor, update: Update) -> None:
        """Change `value` in place, in plain torch.

        Args:
            value: the parameter, fp32 (or fp64 if the parameter is).
            gradient: same shape and dtype; read only.
            update: state, hyper-parameters and the number of the update.
        """

    def update_fused(self, updates: Sequence[Update]) -> None:
        """Carry out updates by Triton kernels, all at once.

        Args:
            updates: those for which there is no `obstacle`.
        """
        raise NotImplementedError(f"{type(self).__name__} names a kernel and does not use it")

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the hooks, so that an optimizer can be copied; torch keeps only groups and state.

        A schedule puts a `step` of its own into the instance, which belongs to the original.
        """
        return {name: value for name, value in self.__dict__.items() if "_hooks" not in name and name != "step"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, bit for bit.

        torch casts floating point state to the dtype of its parameter; ours is fp32 beside bf16 parameters on purpose
        and keeps its dtype. Hyper-parameters that were not saved, as by torch's own optimizers, stay as they are.

        Raises:
            StateMismatchError: the parameters are named, and the saved names are others; or the shape of a saved tensor
                does not fit its parameter. Nothing was loaded then.
        """
        before, loaded = self.param_groups, dict[str, Any]()

        def check(_: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
            check_saved_names(saved["param_groups"], self.param_groups)
            self._check_shapes(saved)
            loaded.update(saved)

        def restore(_: torch.optim.Optimizer) -> None:
            for group, old in zip(self.param_groups, before, strict=True):
                group.update({key: value for key, value in old.items() if key not in group or key == "param_names"})
            self._restore(loaded)

        # Between the hooks of others: those before may change what was saved, those after see what was restored.
        with (
            self.register_load_state_dict_pre_hook(check),
            self.register_load_state_dict_post_hook(restore, prepend=True),
        ):
            super().load_state_dict(state_dict)

    def state_shapes(self, parameter: Tensor, group: Group) -> Shapes:
        """The shapes that the state of a parameter may have, the first being its own; keys left out may have any."""
        return {}

    def _check_shapes(self, saved: Mapping[str, Any]) -> None:
        for theirs, ours in zip(saved["param_groups"], self.param_groups, strict=False):
            for key, parameter in zip(theirs["params"], ours["params"], strict=False):
                shapes = self.state_shapes(parameter, ours | theirs)
                check_saved_shapes(self._slots[parameter].name, saved["state"].get(key, {}), shapes)

    def _restore(self, saved: Mapping[str, Any]) -> None:
        saved_ids = chain.from_iterable(group["params"] for group in saved["param_groups"])
        parameters = chain.from_iterable(group["params"] for group in self.param_groups)
        for key, parameter in zip(saved_ids, parameters, strict=True):
            if key in saved["state"]:
                self.state[parameter] = self._restored(saved["state"][key], parameter.device)

    def _restored(self, saved: Mapping[str, Any], device: torch.device) -> State:
        state = {
            key: value.detach().to(device, copy=True) if isinstance(value, Tensor) else value
            for key, value in saved.items()
        }
        if "step" in state:
            state["step"] = as_counter(state["step"], device, capturable=self.capturable)
        return state


def moving_average(state: State, key: str, value: Tensor, weight: Scalar) -> Tensor:
    """Move `state[key]`, zero at first, towards `value` by `weight`, and return it."""
    if key not in state:
        state[key] = torch.zeros_like(value)
    # Unlike other operations, this one wants a tensor of its own dtype.
    return state[key].lerp_(value, weight.to(value.dtype) if isinstance(weight, Tensor) else weight)


def _check_dtype(name: str, parameter: Tensor, rounding: str) -> None:
    if parameter.dtype not in (*_FULL_PRECISION, torch.bfloat16, torch.float16):
        raise OperandError(f"{name!r} has dtype {parameter.dtype}, which cannot be trained")
    if parameter.dtype == torch.float16 and rounding == "stochastic":
        raise OperandError(f"{name!r} is float16: stochastic rounding is for bfloat16; set rounding='nearest'")
