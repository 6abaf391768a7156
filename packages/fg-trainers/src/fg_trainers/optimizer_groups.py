"""Parameters in groups with hyper-parameters of their own, chosen by the names of the parameters."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from torch.nn import Parameter
from torch.optim import Optimizer

from fg_trainers.errors import ArgumentsError

logger = logging.getLogger(__name__)

NamedParameter: TypeAlias = tuple[str, Parameter]

_GROUP_KEYS = {"regex", "config"}


def make_grouped_optimizer(
    named_parameters: Iterable[NamedParameter],
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
    patterns = [(_pattern(name, group), name) for name, group in groups.items()]
    members, rest = _assigned(named_parameters, patterns)
    members["default"] = rest
    configs = {name: group.get("config") or {} for name, group in groups.items()} | {"default": {}}
    return optimizer_factory(_with_settings(members, configs, debug=debug))


def make_regex_optimizer_groups(
    named_parameters: Iterable[NamedParameter],
    group_map: Sequence[tuple[str, str]],
    group_config: Mapping[str, Mapping[str, Any]],
    debug: bool = False,
) -> list[dict[str, Any]]:
    """Make parameter groups for an optimizer that is built by hand.

    Args:
        named_parameters: as of `Module.named_parameters()`; frozen ones (`requires_grad` off) are left out.
        group_map: (regular expression for `re.search`, name of a group), the first match wins.
        group_config: settings of each group.
        debug: log every parameter with its group.

    Returns:
        Groups `{"params": [(name, parameter), …], **config}` in the order of `group_map`, without empty ones.

    Raises:
        ArgumentsError: a parameter that no pattern matches, a group without settings, or a pattern that is none.
    """
    unknown = sorted({name for _, name in group_map} - set(group_config))
    if unknown:
        raise ArgumentsError(f"group_map names {unknown}, but group_config has {sorted(group_config)}")
    patterns = [(_compiled(name, regex), name) for regex, name in group_map]
    members, unmatched = _assigned(named_parameters, patterns)
    if unmatched:
        names = [name for name, _ in unmatched]
        raise ArgumentsError(f"no pattern of group_map matches {names}; add a last entry ['.*', GROUP] for the rest")
    return _with_settings(members, group_config, debug=debug)


def _assigned(
    named_parameters: Iterable[NamedParameter], patterns: Sequence[tuple[re.Pattern[str], str]]
) -> tuple[dict[str, list[NamedParameter]], list[NamedParameter]]:
    """Give every parameter that trains to the first pattern found in its name; return what no pattern matches too."""
    members: dict[str, list[NamedParameter]] = {group: [] for _, group in patterns}
    unmatched: list[NamedParameter] = []
    for name, parameter in named_parameters:
        if parameter.requires_grad:
            owner = next((group for pattern, group in patterns if pattern.search(name)), None)
            (unmatched if owner is None else members[owner]).append((name, parameter))
    return members, unmatched


def _with_settings(
    members: Mapping[str, list[NamedParameter]], configs: Mapping[str, Mapping[str, Any]], *, debug: bool
) -> list[dict[str, Any]]:
    for group, parameters in members.items():
        logger.log(logging.INFO if debug else logging.DEBUG, "%s: %s", group, [name for name, _ in parameters])
    return [{"params": parameters, **configs[group]} for group, parameters in members.items() if parameters]


def _pattern(name: str, group: Mapping[str, Any]) -> re.Pattern[str]:
    unknown = set(group) - _GROUP_KEYS
    if name == "default" or unknown or not isinstance(group.get("regex"), str):
        raise ArgumentsError(
            f"optimizer group {name!r} must have a 'regex' and may have a 'config', and a name other than 'default'; "
            f"it is {dict(group)!r}"
        )
    return _compiled(name, group["regex"])


def _compiled(name: str, regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except re.error as error:
        raise ArgumentsError(f"optimizer group {name!r}: {regex!r} is not a pattern: {error}") from error
