"""Parameters in groups with hyper-parameters of their own, chosen by the names of the parameters."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch.nn import Parameter
from torch.optim import Optimizer

from fg_trainers.errors import ArgumentsError

logger = logging.getLogger(__name__)

_GROUP_KEYS = {"regex", "config"}


def make_grouped_optimizer(
    named_parameters: Iterable[tuple[str, Parameter]],
    *,
    optimizer_factory: Callable[[list[dict[str, Any]]], Optimizer],
    optimizer_groups: Mapping[str, Mapping[str, Any] | None] | None = None,
    debug: bool = False,
) -> Optimizer:
    """Build one optimizer whose parameter groups follow from patterns.

    Args:
        named_parameters: as of `Module.named_parameters()`; frozen ones (`requires_grad` off) are left out.
        optimizer_factory: builds the optimizer from groups `{"params": [(name, parameter), …], **config}`.
        optimizer_groups: name → `{"regex": …, "config": {…}}`. A parameter belongs to the first group whose pattern
            `re.search` finds in its name, else to a group without settings of its own. None instead of a group
            removes an inherited one. Groups without parameters vanish.
        debug: log every parameter with its group.

    Raises:
        ArgumentsError: a group has unknown keys or no regular expression.
    """
    groups = {name: group for name, group in (optimizer_groups or {}).items() if group is not None}
    patterns = {name: _pattern(name, group) for name, group in groups.items()}
    members: dict[str, list[tuple[str, Parameter]]] = {name: [] for name in [*groups, "default"]}
    for name, parameter in named_parameters:
        if parameter.requires_grad:
            owner = next((group for group, pattern in patterns.items() if pattern.search(name)), "default")
            members[owner].append((name, parameter))
    for group, parameters in members.items():
        logger.log(logging.INFO if debug else logging.DEBUG, "%s: %s", group, [name for name, _ in parameters])
    return optimizer_factory(
        [
            {"params": parameters, **(groups[name].get("config") or {} if name in groups else {})}
            for name, parameters in members.items()
            if parameters
        ]
    )


def _pattern(name: str, group: Mapping[str, Any]) -> re.Pattern[str]:
    unknown = set(group) - _GROUP_KEYS
    if name == "default" or unknown or not isinstance(group.get("regex"), str):
        raise ArgumentsError(
            f"optimizer group {name!r} must have a 'regex' and may have a 'config', and a name other than 'default'; "
            f"it is {dict(group)!r}"
        )
    try:
        return re.compile(group["regex"])
    except re.error as error:
        raise ArgumentsError(f"optimizer group {name!r}: {group['regex']!r} is not a pattern: {error}") from error
