"""Times of functions that take turns, so that a machine that slows down slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Work = Callable[[], object]


def interleaved_ms(
    contenders: Mapping[str, Work], *, rounds: int, device: torch.device, flush: bool = False
) -> dict[str, float]:
    """Run every contender once per round, in turn; return the median of each in milliseconds.

    Args:
        contenders: functions that have been called before (compiled, state created).
        rounds: turns of each.
        device: of their tensors. On a CUDA device times are those between two events around the call; what the host
            takes to launch is in them as far as the device waits for it.
        flush: overwrite the device's L2 cache before every call, so that operands come from memory.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    measure = _DeviceClock(device, flush=flush) if device.type == "cuda" else _host_ms
    for _ in range(rounds):
        for name, work in contenders.items():
            times[name].append(measure(work))
    return {name: statistics.median(values) for name, values in times.items()}


def _host_ms(work: Work) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


class _DeviceClock:
    """Times one call on a CUDA device."""

    def __init__(self, device: torch.device, *, flush: bool) -> None:
        self._cache = _larger_than_l2(device) if flush else None

    def __call__(self, work: Work) -> float:
        """Milliseconds on the device."""
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        if self._cache is not None:
            self._cache.zero_()
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end)


def _larger_than_l2(device: torch.device) -> Tensor:
    size = torch.cuda.get_device_properties(device).L2_cache_size
    return torch.empty(max(4 * size, 1 << 28), dtype=torch.uint8, device=device)
