"""Parameter groups as callers give them: names as the model itself has them, and no key that would mean nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from fg_kernels.errors import UnknownOptionError

# Parts of names that torch.compile, activation checkpointing and FSDP1 add for their wrappers.
_WRAPPERS = frozenset({"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"})
# What DistributedDataParallel and DataParallel call the model inside them. A model may have a part of that name too.
_REPLICA = "module."
# Beside hyper-parameters: torch's own keys, those of its schedules, `MultiOptimizer`'s, and a label.
_SCHEDULES = frozenset({"initial_lr", "max_lr", "min_lr", "swa_lr", "base_momentum", "max_momentum"})
_OTHER_KEYS = _SCHEDULES | {"params", "param_names", "optimizer", "name"}


def check_keys(group: Mapping[str, Any], hyperparameters: Iterable[str]) -> None:
    """Raise `UnknownOptionError` if a group has a key that no hyper-parameter has."""
    known = {*hyperparameters, "params"}
    for key in group:
        if key not in known | _OTHER_KEYS:
            raise UnknownOptionError("key of a parameter group", key, known)


def listed(params: ParamsT) -> ParamsT:
    """`params` with lists in place of iterators, so that they can be looked at before they are used."""
    if isinstance(params, Tensor):
        return params
    entries: list[Any] = list(params)
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("params"), Iterator):
            entry["params"] = list(entry["params"])
    return entries


def prefix_of(params: ParamsT) -> str:
    """What a replicating wrapper put before the names of the (listed) parameters: "module." if all begin so, or ""."""
    return _shared_prefix(list(_given_names(params)))


def plain_names(names: Iterable[str], prefix: str) -> list[str]:
    """The names that the model itself has for its parameters, whatever it is wrapped in."""
    return [_unwrapped(name).removeprefix(prefix) for name in names]


def names_of(groups: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Plain names of the parameters of all groups of one optimizer; none for a group without names."""
    named = [group.get("param_names") or [] for group in groups]
    prefix = _shared_prefix(list(chain.from_iterable(named)))
    return [plain_names(names, prefix) for names in named]


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _shared_prefix(names: Sequence[str]) -> str:
    return _REPLICA if names and all(_unwrapped(name).startswith(_REPLICA) for name in names) else ""


def _given_names(params: ParamsT) -> Iterator[str]:
    for entry in [] if isinstance(params, Tensor) else params:
        if isinstance(entry, dict):
            yield from entry.get("param_names") or ()
            members = entry.get("params", ())
            yield from _given_names(members)
        elif isinstance(entry, tuple):
            yield entry[0]
