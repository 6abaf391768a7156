"""What kernels that treat every element alike are told about parameters: addresses, sizes, noise, numbers."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from fg_kernels.optim._numbers import Scalar
from fg_kernels.optim._update import Group, Update, local
from fg_kernels.philox import ELEMENTS_PER_BLOCK, key_words
from fg_kernels.triton.multi_tensor import DeviceTable, tile_map

if TYPE_CHECKING:
    from fg_kernels.triton.parameters import Lookup

# The hyper-parameters of an update as fp32 numbers, computed from its group and its number.
Rule: TypeAlias = Callable[[Group, Any], Sequence[Scalar]]
Variant: TypeAlias = tuple[tuple[str, Any], ...]

_DTYPES = (torch.float32, torch.bfloat16)
_ALIGNMENT = 16


class Tables:
    """The device tables of one set of parameters, kept from update to update."""

    def __init__(self) -> None:
        self._rows = DeviceTable(torch.int64)
        self._steps = DeviceTable(torch.int64)
        self._numbers = DeviceTable(torch.float32)

    def lookup(self, updates: Sequence[Update], rows: Sequence[Sequence[int]], rule: Rule, block: int) -> Lookup:
        """Everything that a launch for `updates` needs.

        Args:
            updates: all on one device.
            rows: of the table that `fg_kernels.triton.parameters` explains, see `row_of`.
            rule: gives the numbers, in the order that the kernel wants.
            block: elements of a tile.
        """
        from fg_kernels.triton.parameters import Lookup

        device = updates[0].parameter.device
        tiles = tile_map(tuple(-(-row[0] // block) for row in rows), device)
        steps = self._stepped(updates, device)
        return Lookup(tiles, self._rows.written(rows, device), steps, self._numbered(updates, steps, rule))

    def _stepped(self, updates: Sequence[Update], device: torch.device) -> Tensor:
        steps = [update.step for update in updates]
        counters = [step for step in steps if isinstance(step, Tensor)]
        return torch.stack(counters) if counters else self._steps.written([[int(step)] for step in steps], device)

    def _numbered(self, updates: Sequence[Update], steps: Tensor, rule: Rule) -> Tensor:
        """fp32 (updates, numbers); computed on the device if it alone knows the update numbers or a rate."""
        if not any(isinstance(number, Tensor) for u in updates for number in (u.step, u.group["lr"])):
            rows = [[float(number) for number in rule(u.group, u.step)] for u in updates]
            return self._numbers.written(rows, steps.device)
        parts: list[Tensor] = []
        first = 0
        for _, members in groupby(updates, key=lambda update: id(update.group)):
            run = list(members)
            parts.append(_columns(rule(run[0].group, steps.view(-1)[first : first + len(run)]), len(run), steps.device))
            first += len(run)
        return torch.cat(parts)


def obstacle_of(update: Update, state: Iterable[Tensor]) -> str | None:
    """What keeps a kernel from updating the parameter (the local part of a DTensor), given its state tensors so far."""
    dtypes = (update.parameter.dtype, update.gradient.dtype)
    if any(dtype not in _DTYPES for dtype in dtypes):
        return f"it is {dtypes[0]}, its gradient {dtypes[1]}"
    if getattr(update.parameter, "placements", None) != getattr(update.gradient, "placements", None):
        return "its gradient is sharded in another way"
    if not update.window.contiguous or update.window.offset % ELEMENTS_PER_BLOCK:
        return f"its shard is no run of elements from a multiple of {ELEMENTS_PER_BLOCK}"
    tensors = (local(update.parameter), local(update.gradient), *(local(tensor) for tensor in state))
    if not all(tensor.is_contiguous() for tensor in tensors):
        return "it, its gradient or its state is not contiguous"
    if any(tensor.data_ptr() % _ALIGNMENT for tensor in tensors):
        return f"it, its gradient or its state begins at no multiple of {_ALIGNMENT} bytes"
    return None


def mismatch_of(update: Update, moments: Sequence[Tensor], dtypes: Container[torch.dtype]) -> str | None:
    """What is unexpected of state tensors that should be shaped like the parameter: a checkpoint may hold anything."""
    kinds = {(moment.dtype, moment.shape) for moment in moments}
    for dtype, shape in kinds:
        if dtype not in dtypes or shape != update.parameter.shape or len(kinds) > 1:
            return f"its state is {dtype} of shape {tuple(shape)}"
    return None


def variant_of(update: Update) -> dict[str, Any]:
    """The compile-time arguments that all such kernels share."""
    from fg_kernels.triton.parameters import EVEN

    return {
        "P16": update.parameter.dtype == torch.bfloat16,
        "G16": update.gradient.dtype == torch.bfloat16,
        "STOCHASTIC": update.group["rounding"] == "stochastic",
        "EVEN": local(update.parameter).numel() % EVEN == 0,
    }


def row_of(update: Update, state: Sequence[Tensor], parts: Sequence[str]) -> tuple[int, ...]:
    """One row of the table that `fg_kernels.triton.parameters` explains.

    Args:
        update: of the parameter; its address and its gradient's come first.
        state: tensors whose addresses follow.
        parts: of what is rounded, see `Update.noise_name`.
    """
    keys = [key_words(update.group["seed"], update.noise_name(part)) for part in parts]
    tensors = (local(update.parameter), local(update.gradient), *(local(tensor) for tensor in state))
    words = (word for low, high, _ in keys for word in (low, high))
    return (tensors[0].numel(), update.window.offset, keys[0][2], *words, *(tensor.data_ptr() for tensor in tensors))


def batches(
    updates: Sequence[Update], variant: Callable[[Update], dict[str, Any]]
) -> Iterator[tuple[Variant, list[Update]]]:
    """Sort updates by their device and the compile-time arguments of their kernel: each kind is one launch."""
    kinds: dict[tuple[torch.device, Variant], list[Update]] = {}
    for update in updates:
        kinds.setdefault((update.parameter.device, tuple(variant(update).items())), []).append(update)
    return ((arguments, members) for (_, arguments), members in kinds.items())


def _columns(numbers: Sequence[Scalar], count: int, device: torch.device) -> Tensor:
    return torch.stack([_column(number, count, device) for number in numbers], dim=1).float()


def _column(number: Scalar, count: int, device: torch.device) -> Tensor:
    if isinstance(number, Tensor):
        return number.to(device).expand(count)
    return torch.full((count,), number, dtype=torch.float64, device=device)
