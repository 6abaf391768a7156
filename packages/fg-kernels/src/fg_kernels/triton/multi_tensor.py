"""One launch for many tensors: their addresses and numbers stand in tables on the device.

A kernel's program looks up which tensor it works on and which tile of it (`tile_map`), and loads addresses, sizes
and hyper-parameters from rows of a `DeviceTable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import torch
from torch import Tensor

Rows: TypeAlias = Sequence[Sequence[int]] | Sequence[Sequence[float]]

_MOST_MAPS: Final = 64
_MAPS: dict[tuple[tuple[int, ...], torch.device], Tensor] = {}
# A captured CUDA graph repeats a copy, or reads what was copied before, whenever it is replayed.
_CAPTURED: list[Tensor] = []


class DeviceTable:
    """Rows of numbers that the host writes and kernels read.

    They travel only when they have changed, from pinned memory and without waiting for the device. What a CUDA graph
    captures is kept for good, and never taken for what is there: it only travels when the graph is replayed. A copy or
    pickle of a table is empty.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._rows: Rows = ()
        self._device: Tensor | None = None

    def written(self, rows: Rows, device: torch.device) -> Tensor:
        """Return the rows, all of one length, as a tensor (rows, columns) on `device`."""
        if self._device is not None and self._device.device == device and rows == self._rows:
            return _kept(self._device)
        table = _sent(torch.tensor(rows, dtype=self._dtype), device)
        if not _capturing(device):
            self._rows, self._device = rows, table
        return table

    def __reduce__(self) -> tuple[type[DeviceTable], tuple[torch.dtype]]:
        return DeviceTable, (self._dtype,)


def tile_map(tiles: tuple[int, ...], device: torch.device) -> Tensor:
    """Return int32 (total, 2): for each program its tensor and the number of its tile there.

    The last maps are remembered, as those of an optimizer hardly change.

    Args:
        tiles: how many tiles each tensor has.
        device: where the map lives.
    """
    known = _MAPS.get((tiles, device))
    if known is not None:
        return _kept(known)
    made = _sent(_tile_map(tiles), device)
    if not _capturing(device):
        _MAPS[tiles, device] = made
        while len(_MAPS) > _MOST_MAPS:
            _MAPS.pop(next(iter(_MAPS)), None)
    return made


def _tile_map(tiles: tuple[int, ...]) -> Tensor:
    counts = torch.tensor(tiles, dtype=torch.int64)
    owner = torch.repeat_interleave(torch.arange(len(tiles)), counts)
    first = torch.cumsum(counts, 0) - counts
    number = torch.arange(owner.numel()) - first[owner]
    return torch.stack((owner, number), dim=1).to(torch.int32)


def _sent(host: Tensor, device: torch.device) -> Tensor:
    """A copy on the device, which the host does not wait for."""
    if device.type != "cuda":
        return host.to(device)
    pinned = host.pin_memory()
    sent = pinned.to(device, non_blocking=True)
    if _capturing(device):
        _CAPTURED.append(pinned)
    return _kept(sent)


def _kept(tensor: Tensor) -> Tensor:
    if _capturing(tensor.device):
        _CAPTURED.append(tensor)
    return tensor


def _capturing(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()
