"""One launch for many tensors: their addresses and numbers stand in tables on the device.

A kernel's program looks up which tensor it works on and which tile of it (`tile_map`), and loads addresses, sizes
and hyper-parameters from rows of a `DeviceTable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor

Rows: TypeAlias = Sequence[Sequence[int]] | Sequence[Sequence[float]]


class DeviceTable:
    """Rows of numbers that the host writes and kernels read.

    They travel only when they have changed, from pinned memory and without waiting for the device. A captured CUDA
    graph repeats the copy, or reads what was copied before, whenever it is replayed: both memories are kept for good.
    A copy or pickle of a table is empty.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._rows: Rows = ()
        self._device: Tensor | None = None
        self._captured: list[Tensor] = []

    def written(self, rows: Rows, device: torch.device) -> Tensor:
        """Return the rows, all of one length, as a tensor (rows, columns) on `device`."""
        if self._device is None or self._device.device != device or rows != self._rows:
            host = torch.tensor(rows, dtype=self._dtype)
            if device.type == "cuda":
                host = host.pin_memory()
            self._rows, self._device = rows, host.to(device, non_blocking=True)
            self._keep(host)
        self._keep(self._device)
        return self._device

    def _keep(self, memory: Tensor) -> None:
        if self._device is not None and self._device.is_cuda and torch.cuda.is_current_stream_capturing():
            self._captured.append(memory)

    def __reduce__(self) -> tuple[type[DeviceTable], tuple[torch.dtype]]:
        return DeviceTable, (self._dtype,)


@lru_cache(maxsize=64)
def tile_map(tiles: tuple[int, ...], device: torch.device) -> Tensor:
    """Return int32 (total, 2): for each program its tensor and the number of its tile there.

    Args:
        tiles: how many tiles each tensor has.
        device: where the map lives.
    """
    counts = torch.tensor(tiles, dtype=torch.int64)
    owner = torch.repeat_interleave(torch.arange(len(tiles)), counts)
    first = torch.cumsum(counts, 0) - counts
    number = torch.arange(owner.numel()) - first[owner]
    host = torch.stack((owner, number), dim=1).to(torch.int32)
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host
