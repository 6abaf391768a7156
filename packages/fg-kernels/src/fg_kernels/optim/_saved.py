"""What is looked at in saved state before anything of it is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from fg_kernels.errors import StateMismatchError
from fg_kernels.optim._groups import names_of

# The shapes, one or more, that a tensor of the state may have, by its key.
Shapes: TypeAlias = Mapping[str, Sequence[Sequence[int]]]


def check_saved_names(saved: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]]) -> None:
    """Raise `StateMismatchError` where groups and saved ones both have names, and these differ."""
    for index, (theirs, ours) in enumerate(zip(names_of(saved), names_of(groups), strict=False)):
        if theirs and ours and theirs != ours:
            where = next(_differences(theirs, ours))
            raise StateMismatchError(f"saved optimizer state belongs to other parameters: group {index}, {where}")


def check_saved_shapes(name: str, saved: Mapping[str, Any], shapes: Shapes) -> None:
    """Raise `StateMismatchError` if a tensor of the saved state of parameter `name` has another shape than it may."""
    for key, allowed in shapes.items():
        value = saved.get(key)
        if isinstance(value, Tensor) and tuple(value.shape) not in map(tuple, allowed):
            found, wanted = tuple(value.shape), tuple(allowed[0])
            raise StateMismatchError(f"saved {key} of {name!r} has shape {found}, it must be {wanted}")


def as_counter(step: int | Tensor, device: torch.device, *, capturable: bool) -> int | Tensor:
    """A saved update number in the form that this optimizer counts in."""
    if capturable:
        return torch.as_tensor(step, dtype=torch.int64).to(device)
    return int(step)


def _differences(saved: Sequence[str], ours: Sequence[str]) -> Iterator[str]:
    for position, (theirs, mine) in enumerate(zip(saved, ours, strict=False)):
        if theirs != mine:
            yield f"position {position}: saved {theirs!r}, here {mine!r}"
    yield f"{len(saved)} saved parameters, {len(ours)} here"
