"""Stochastic rounding from fp32 to bf16."""

from __future__ import annotations

import torch
from torch import Tensor

from fg_kernels import reference
from fg_kernels.dispatch import choose
from fg_kernels.reference.rounding import WHOLE, check_rounding, sum_to_round
from fg_kernels.window import Window


def sr_copy_(
    dst: Tensor,
    src: Tensor,
    *,
    seed: int,
    name: str,
    step: int | Tensor,
    window: Window = WHOLE,
    backend: str = "auto",
) -> Tensor:
    """Round `src` (fp32) stochastically into `dst` (bf16), in place; see `fg_kernels.reference.sr_copy_`.

    Args:
        dst: bf16 tensor of any shape.
        src: fp32 tensor of the same shape.
        seed: of the run.
        name: whole-model name of the parameter.
        step: update number; or a 0-d int64 tensor on the same device.
        window: where the elements of `dst` lie within the whole, flattened parameter.
        backend: see `fg_kernels.dispatch`.

    Returns:
        `dst`.

    Raises:
        OperandError: wrong dtype or shape.
        BackendError: `backend` was asked for and cannot do this.
    """
    check_rounding(dst, src)
    _sr_copy(dst.detach(), src.detach(), seed, name, _as_tensor(step, dst), list(window), backend)
    return dst


def sr_add_(
    dst: Tensor,
    src: Tensor,
    *,
    alpha: float = 1.0,
    seed: int,
    name: str,
    step: int | Tensor,
    window: Window = WHOLE,
    backend: str = "auto",
) -> Tensor:
    """Add `alpha * src` to the bf16 tensor `dst` in fp32 and round once, stochastically; see `sr_copy_`.

    Args:
        dst: bf16 tensor, changed in place.
        src: floating point tensor of the same shape; it is raised to fp32.
        alpha: factor of `src`.
        seed: of the run.
        name: whole-model name of the parameter.
        step: update number; or a 0-d int64 tensor on the same device.
        window: where the elements of `dst` lie within the whole, flattened parameter.
        backend: see `fg_kernels.dispatch`.

    Returns:
        `dst`.

    Raises:
        OperandError: wrong dtype or shape.
        BackendError: `backend` was asked for and cannot do this.
    """
    total = sum_to_round(dst, src, alpha)
    return sr_copy_(dst, total, seed=seed, name=name, step=step, window=window, backend=backend)


@torch.library.custom_op("fg_kernels::sr_copy_", mutates_args={"dst"})
def _sr_copy(dst: Tensor, src: Tensor, seed: int, name: str, step: Tensor, window: list[int], backend: str) -> None:
    key = {"seed": seed, "name": name, "step": step, "window": Window(*window)}
    if choose("sr_copy_", dst, backend=backend) == "reference":
        reference.sr_copy_(dst, src, **key)
        return
    from fg_kernels.triton import rounding

    target = dst if dst.is_contiguous() else torch.empty_like(dst, memory_format=torch.contiguous_format)
    rounding.sr_copy_(target, src.contiguous(), **key)
    if target is not dst:
        dst.copy_(target)


@_sr_copy.register_fake
def _(dst: Tensor, src: Tensor, seed: int, name: str, step: Tensor, window: list[int], backend: str) -> None:
    """Nothing but `dst` is written."""


def _as_tensor(step: int | Tensor, like: Tensor) -> Tensor:
    """A 0-d int64 tensor on the device of `like`, filled there: no copy that the host would wait for."""
    return step if isinstance(step, Tensor) else torch.full((), step, dtype=torch.int64, device=like.device)
