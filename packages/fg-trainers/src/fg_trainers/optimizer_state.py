"""Optimizer state under whole-model parameter names.

`Optimizer.state_dict()` numbers parameters in the order of its groups. A number means another parameter as soon as
groups are cut differently; a name means the same one in every layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from fg_trainers.errors import ResumeError


class OptimizerState:
    """A `Stateful` view of an optimizer: `{"state": {name: {...}}, "groups": [{..., "params": [name, ...]}]}`."""

    def __init__(self, optimizer: Optimizer, names: Mapping[nn.Parameter, str]) -> None:
        self._optimizer = optimizer
        self._names = names

    def state_dict(self) -> dict[str, Any]:
        """State and groups by name."""
        numbered = self._optimizer.state_dict()
        names = self._numbers_to_names()
        return {
            "state": {names[number]: state for number, state in numbered["state"].items()},
            "groups": [
                {**group, "params": [names[number] for number in group["params"]]} for group in numbered["param_groups"]
            ],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load state saved under names.

        Raises:
            ResumeError: the saved groups hold other parameters than this optimizer's.
        """
        saved = [set(group["params"]) for group in state["groups"]]
        names = self._numbers_to_names()
        own = self._optimizer.state_dict()["param_groups"]
        present = [{names[number] for number in group["params"]} for group in own]
        if saved != present:
            difference = sorted(set().union(*saved) ^ set().union(*present)) or ["the assignment to groups"]
            raise ResumeError(
                f"the checkpoint's optimizer covers other parameters than this one; they differ in "
                f"{', '.join(difference[:5])}. Restore the optimizer of the run, or start a new output directory"
            )
        numbers = {name: number for number, name in names.items()}
        # Options are the config's, so that a changed one takes effect. The rate is the checkpoint's: schedules that
        # compute it from the last one would start anew otherwise.
        groups = [{**group, "lr": old["lr"]} for group, old in zip(own, state["groups"], strict=True)]
        self._optimizer.load_state_dict(
            {
                "state": {numbers[name]: values for name, values in state["state"].items()},
                "param_groups": groups,
            }
        )

    def _numbers_to_names(self) -> dict[int, str]:
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        return {number: self._names[parameter] for number, parameter in enumerate(parameters)}
