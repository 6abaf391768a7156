"""One update of one parameter: what a rule is given, and how it writes what it computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from fg_kernels._compat import is_fake
from fg_kernels.functional import sr_copy_
from fg_kernels.window import Window

Group: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Slot:
    """What an optimizer knows of a parameter from the start: its group, its name, where its shard lies."""

    group: int
    name: str
    window: Window


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """One update of one parameter: everything that a rule reads and writes.

    Attributes:
        parameter: a DTensor if it is sharded.
        gradient: same shape; may be the parameter's own `grad`, so it is read only.
        state: of this parameter.
        group: hyper-parameters.
        name: key of the rounding noise.
        window: where the local elements lie within the whole parameter.
    """

    parameter: Tensor
    gradient: Tensor
    state: State
    group: Group
    name: str
    window: Window

    @property
    def step(self) -> int | Tensor:
        """The number of this update, from 1; a 0-d int64 tensor if the optimizer is capturable."""
        return self.state["step"]

    def noise_name(self, part: str = "") -> str:
        """The name that keys the noise of the weights, or of a `part` of the state."""
        return f"{self.name}#{part}" if part else self.name

    def draws_for(self, target: Tensor) -> bool:
        """Whether noise decides how values are rounded into `target`."""
        return target.dtype == torch.bfloat16 and self.group["rounding"] == "stochastic"

    def round_into(self, target: Tensor, value: Tensor, part: str = "") -> None:
        """Copy `value` into a tensor of fewer bits, rounding as the group says.

        `part` tells the noise of this parameter's state tensors from that of its weights.
        """
        if not self.draws_for(target):
            target.copy_(value)
            return
        name = self.noise_name(part)
        key = {"seed": self.group["seed"], "name": name, "step": self.step, "window": self.window}
        sr_copy_(local(target), local(value), **key)


def local(tensor: Tensor) -> Tensor:
    """The part of a DTensor that this rank holds; any other tensor itself."""
    to_local = getattr(tensor, "to_local", None)
    return tensor if to_local is None else to_local()


def has_values(update: Update) -> bool:
    tensors = (update.parameter, update.gradient)
    return not any(tensor.is_meta or is_fake(tensor) for tensor in tensors)
