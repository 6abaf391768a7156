"""What this machine can do at best, measured: the peaks that figures are fractions of."""

from __future__ import annotations

from typing import NamedTuple

import torch

from fg_kernels.measuring.clock import interleaved_ms


class Peaks(NamedTuple):
    """Rates of a plain copy and of a plain matrix product.

    Attributes:
        copy: bytes read and written per second.
        matmul: floating point operations per second.
        matmul_dtype: in which the product was taken.
    """

    copy: float
    matmul: float
    matmul_dtype: str


def calibrate(device: torch.device, *, rounds: int = 20) -> Peaks:
    """Measure both rates: 1 GiB and bf16 products of 8192 on a GPU, 64 MiB and fp32 products of 1024 on a CPU."""
    on_gpu = device.type == "cuda"
    size, side = (1 << 30, 8192) if on_gpu else (1 << 26, 1024)
    dtype = torch.bfloat16 if on_gpu else torch.float32
    source, target = (torch.ones(size, dtype=torch.uint8, device=device) for _ in range(2))
    left, right, out = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(3))
    contenders = {
        "copy": lambda: target.copy_(source),
        "matmul": lambda: torch.mm(left, right, out=out),
    }
    for work in contenders.values():
        work()
    ms = interleaved_ms(contenders, rounds=rounds, device=device)
    return Peaks(2e3 * size / ms["copy"], 2e3 * side**3 / ms["matmul"], str(dtype).removeprefix("torch."))
