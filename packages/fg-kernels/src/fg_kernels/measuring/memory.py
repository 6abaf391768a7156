"""How much memory a computation takes at its peak, over what was there before."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import torch
from torch.profiler import ProfilerActivity, profile

from fg_kernels._compat import allocations


def peak_bytes(function: Callable[[], object], device: torch.device | str = "cpu") -> int:
    """Return the most bytes that tensors of `device` took during `function()`, beyond those at its start.

    They are counted where they are allocated: results, temporaries of operations and what is allocated inside of them
    alike. On a CUDA device these are the bytes of the caching allocator, which rounds up to 512. What `function`
    returns counts too.
    """
    if torch.device(device).type == "cuda":
        return _cuda_peak(function, torch.device(device))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    return max(accumulate(allocations(profiler), initial=0))


def _cuda_peak(function: Callable[[], object], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    function()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
