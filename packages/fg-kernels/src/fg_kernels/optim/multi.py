"""Several optimizers that look like one."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, TypeAlias, overload

import torch
from torch import Tensor
from torch.nn import Parameter

from fg_kernels.errors import ParameterGroupError, StateMismatchError
from fg_kernels.optim._groups import names_of

logger = logging.getLogger(__name__)

NamedParameters: TypeAlias = list[tuple[str, Parameter]]
OptimizerFactory: TypeAlias = Callable[[NamedParameters], torch.optim.Optimizer]

_SHOWN = 8


class MultiOptimizer(torch.optim.Optimizer):
    """One optimizer made of several, each with its own parameters and options.

    `param_groups` are those of the members, one after the other and shared with them, so that a learning rate
    schedule scales each group's own rate; a group's key `optimizer` names its member. `state_dict()` has torch's usual
    form, with the parameters numbered through.

    Args:
        optimizers: members by name, in the order of their groups. Either all or none have named parameters.

    Raises:
        ParameterGroupError: no members, or a parameter that two of them own.
    """

    def __init__(self, optimizers: Mapping[str, torch.optim.Optimizer]) -> None:
        self.optimizers = dict(optimizers)
        groups = []
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["optimizer"] = name
                groups.append(group)
        if not groups:
            raise ParameterGroupError("MultiOptimizer needs at least one optimizer with parameters")
        self._refuse_shared_parameters()
        super().__init__(groups, {})
        self._owner = {p: name for name, o in self.optimizers.items() for g in o.param_groups for p in g["params"]}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Not for callers: a group of its own would belong to no member and never be updated.

        Raises:
            ParameterGroupError: always, once the optimizer is built.
        """
        if hasattr(self, "_owner"):
            raise ParameterGroupError(
                "a MultiOptimizer takes no further groups; give them to a member and build it anew"
            )
        super().add_param_group(param_group)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Step every member, after one evaluation of `closure`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers.values():
            optimizer.step()
        self._gather()
        return loss

    def step_param(self, parameter: Tensor) -> None:
        """Update one parameter from its gradient, exactly as `step` would.

        Raises:
            ParameterGroupError: no member owns the parameter, or its owner cannot update a single one.
        """
        name = self._owner.get(parameter)
        if name is None:
            raise ParameterGroupError(f"a parameter of shape {tuple(parameter.shape)} is not in this optimizer")
        optimizer = self.optimizers[name]
        update = getattr(optimizer, "step_param", None)
        if update is None:
            kind = f"{type(optimizer).__module__}.{type(optimizer).__qualname__}"
            raise ParameterGroupError(f"optimizer {name!r} ({kind}) has no step_param; use one of fg_kernels.optim")
        update(parameter)
        self.state[parameter] = optimizer.state[parameter]

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all members in torch's form."""
        self._gather()
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore every member from its own groups.

        Raises:
            StateMismatchError: the saved groups belong to other members or parameters; nothing was loaded then.
        """
        saved = state_dict["param_groups"]
        saved_owners, owners = ([g.get("optimizer") for g in groups] for groups in (saved, self.param_groups))
        if saved_owners != owners:
            raise StateMismatchError(f"saved groups belong to optimizers {saved_owners}, here they are {owners}")
        _check_parameters(saved, self.param_groups)
        for name, optimizer in self.optimizers.items():
            groups = [group for group in saved if group["optimizer"] == name]
            ids = {key for group in groups for key in group["params"]}
            state = {key: value for key, value in state_dict["state"].items() if key in ids}
            optimizer.load_state_dict({"state": state, "param_groups": groups})
        # Loading replaces the members' group dictionaries; schedules must see the new ones.
        self.param_groups = [group for optimizer in self.optimizers.values() for group in optimizer.param_groups]
        self._gather()

    def __getstate__(self) -> dict[str, Any]:
        """The members too, so that an optimizer can be copied: torch keeps only groups and state."""
        own = ("defaults", "state", "param_groups", "optimizers", "_owner")
        return {name: self.__dict__[name] for name in own}

    def _gather(self) -> None:
        self.state.clear()
        for optimizer in self.optimizers.values():
            self.state.update(optimizer.state)

    def _refuse_shared_parameters(self) -> None:
        owner: dict[int, str] = {}
        for name, optimizer in self.optimizers.items():
            for parameter in (p for group in optimizer.param_groups for p in group["params"]):
                if owner.setdefault(id(parameter), name) != name:
                    shape = tuple(parameter.shape)
                    raise ParameterGroupError(
                        f"{owner[id(parameter)]!r} and {name!r} share a parameter of shape {shape}"
                    )


def make_re_multiopt(
    named_parameters: Iterable[tuple[str, Parameter]],
    optimizer_map: Sequence[tuple[str, str]],
    factories: Mapping[str, OptimizerFactory],
) -> MultiOptimizer:
    """Give every parameter to the first optimizer whose pattern is found in its name.

    Frozen parameters (`requires_grad` off) are left out. An optimizer that no parameter goes to is not built.

    Args:
        named_parameters: as of `Module.named_parameters()`.
        optimizer_map: (regular expression for `re.search`, name of an optimizer), the first match wins.
        factories: builds each optimizer from its list of (name, parameter) pairs.

    Returns:
        A `MultiOptimizer` with members in the order of `optimizer_map`.

    Raises:
        ParameterGroupError: unmatched parameters, an optimizer without a factory or a factory without a pattern,
            or a pattern that is not a regular expression.
    """
    patterns = [(_compiled(pattern), name) for pattern, name in optimizer_map]
    _check_names(dict.fromkeys(name for _, name in patterns), factories)
    assigned: dict[str, NamedParameters] = {name: [] for _, name in patterns}
    unmatched = []
    for name, parameter in named_parameters:
        if not parameter.requires_grad:
            continue
        target = next((optimizer for pattern, optimizer in patterns if pattern.search(name)), None)
        unmatched.append(name) if target is None else assigned[target].append((name, parameter))
    if unmatched:
        shown = ", ".join(unmatched[:_SHOWN]) + (", …" if len(unmatched) > _SHOWN else "")
        tried = ", ".join(repr(pattern) for pattern, _ in optimizer_map)
        raise ParameterGroupError(
            f"{len(unmatched)} parameters match no pattern of optimizer_map ({tried}): {shown}. "
            "Add a last entry ['.*', NAME] for the rest."
        )
    for name, parameters in assigned.items():
        logger.info("optimizer %s: %d parameters%s", name, len(parameters), "" if parameters else ", not built")
    return MultiOptimizer({name: factories[name](parameters) for name, parameters in assigned.items() if parameters})


def _check_parameters(saved: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]]) -> None:
    """Compare saved groups with their counterparts: names where both have them, else how many."""
    for old, new, theirs, ours in zip(saved, groups, names_of(saved), names_of(groups), strict=True):
        if not theirs or not ours:
            theirs, ours = ([f"parameter {i}" for i in range(len(group["params"]))] for group in (old, new))
        for there, here in zip_longest(theirs, ours, fillvalue="nothing"):
            if there != here:
                owner = new["optimizer"]
                raise StateMismatchError(f"saved group of optimizer {owner!r}: saved {there!r}, here {here!r}")


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ParameterGroupError(f"optimizer_map: {pattern!r} is not a regular expression: {error}") from error


def _check_names(mapped: Iterable[str], factories: Mapping[str, OptimizerFactory]) -> None:
    names = list(mapped)
    for name in names:
        if name not in factories:
            near = difflib.get_close_matches(name, factories, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ParameterGroupError(f"optimizer_map names {name!r}, but factories has {sorted(factories)}{hint}")
    unused = sorted(set(factories) - set(names))
    if unused:
        raise ParameterGroupError(f"factories {unused} are named by no entry of optimizer_map")
