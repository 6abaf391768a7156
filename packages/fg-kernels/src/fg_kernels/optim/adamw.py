"""AdamW whose weights, and if wanted state, may be bf16; state of 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fg_kernels.errors import OperandError, check_numbers, check_range
from fg_kernels.optim._base import Fused, Optimizer
from fg_kernels.optim._fused import Tables, batches, mismatch_of, obstacle_of, row_of, variant_of
from fg_kernels.optim._moments import (
    BLOCK,
    STATE_DTYPES,
    StateDtype,
    create_moments,
    read_moment,
    state_dtype_of,
    write_moment,
)
from fg_kernels.optim._numbers import Scalar, narrow, power, rate, root
from fg_kernels.optim._saved import Shapes
from fg_kernels.optim._update import Group, Update, local
from fg_kernels.reference.quantization import block_count

MOMENTS = ("exp_avg", "exp_avg_sq")


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101).

    On fp32 and fp64 parameters it is `torch.optim.AdamW`. A bf16 parameter is raised to fp32, decayed and updated
    there, and rounded once. On CUDA devices all parameters are updated by one Triton kernel, with the same bits.

    Args:
        params: parameters, (name, parameter) pairs or groups of either; names key the rounding noise.
        lr: learning rate, a float or a 0-d tensor.
        betas: decay rates of the two moments.
        eps: added to the root of the second moment.
        weight_decay: per update, times `lr`.
        rounding: "stochastic" or "nearest", for bf16 parameters and bf16 state.
        seed: of the rounding noise.
        fused: "auto" uses the kernel where it fits, True insists on it, False never does.
        capturable: count updates on the device, so that a CUDA graph can be captured.
        state_dtype: of the moments: float32 (8 bytes per parameter); bfloat16 (4), rounded as the parameters are; or
            uint8 (2), coded in blocks of 256 by `quantize_blockwise`, except those of tensors below 4096 elements,
            which stay fp32; a gradient that is NaN spoils its block. "float32", "bfloat16" and "8bit" mean the same.
            fp64 parameters keep fp64 moments, and moments from a checkpoint the dtype that they were saved in.

    Raises:
        KernelError: an argument outside its range.
    """

    kernel = "adamw"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        *,
        rounding: str = "stochastic",
        seed: int = 0,
        fused: Fused = "auto",
        capturable: bool = False,
        state_dtype: StateDtype = torch.float32,
    ) -> None:
        self.state_dtype = state_dtype_of(state_dtype)
        self._tables: dict[Any, Tables] = {}
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults, rounding=rounding, seed=seed, fused=fused, capturable=capturable)

    def check_group(self, group: Group) -> None:
        """See `Optimizer.check_group`."""
        super().check_group(group)
        check_numbers("betas", group["betas"], 2, 0.0, 1.0)
        check_range("eps", group["eps"], 0.0)
        check_range("weight_decay", group["weight_decay"], 0.0)

    def check_parameter(self, name: str, parameter: Tensor) -> None:
        """Raise `OperandError` for a sharded parameter whose 8-bit blocks would depend on the number of shards."""
        if self.state_dtype == torch.uint8 and hasattr(parameter, "placements"):
            raise OperandError(f"{name!r} is sharded: 8-bit moments are for whole tensors; use bfloat16")

    def state_shapes(self, parameter: Tensor, group: Group) -> Shapes:
        """See `Optimizer.state_shapes`."""
        scales = (block_count(parameter.numel(), BLOCK),)
        return {key: [parameter.shape] for key in MOMENTS} | {f"{key}_scale": [scales] for key in MOMENTS}

    def update_parameter(self, value: Tensor, gradient: Tensor, update: Update) -> None:
        """Decay and update `value`, see `Optimizer.update_parameter`.

        Single operations, each rounded to fp32, so that the kernel can repeat them bit for bit.
        """
        create_moments(update, self.state_dtype)
        numbers = Numbers(*(narrow(number, value) for number in numbers_of(update.group, update.step)))
        first, second = (read_moment(update, key, value.dtype) for key in MOMENTS)
        first.mul_(numbers.beta1).add_(gradient * numbers.rest1)
        second.mul_(numbers.beta2).add_(gradient.square().mul_(numbers.rest2))
        denominator = _root(second).mul_(numbers.correction).add_(numbers.eps)
        value.mul_(numbers.decay).sub_((first * numbers.step_size).div_(denominator))
        for key, moment in zip(MOMENTS, (first, second), strict=True):
            write_moment(update, key, moment)

    def obstacle(self, update: Update) -> str | None:
        """See `Optimizer.obstacle`: bf16 or fp32, contiguous, shards that are one run of elements."""
        moments = [update.state[key] for key in MOMENTS if key in update.state]
        return mismatch_of(update, moments, STATE_DTYPES) or obstacle_of(update, _tensors(update))

    def update_fused(self, updates: Sequence[Update]) -> None:
        """See `Optimizer.update_fused`: one launch, as long as all have the same dtypes."""
        from fg_kernels.triton.adamw import adamw_
        from fg_kernels.triton.launch import config_for

        for update in updates:
            create_moments(update, self.state_dtype)
        for variant, members in batches(updates, _variant):
            config = config_for("adamw", local(members[0].parameter))
            rows = [row_of(update, _tensors(update), ("", *MOMENTS)) for update in members]
            tables = self._tables.setdefault((variant, members[0].name), Tables())
            adamw_(tables.lookup(members, rows, numbers_of, config.blocks["BLOCK"]), dict(variant), config)


class Numbers(NamedTuple):
    """What one update multiplies with, in the order of the kernel's table."""

    beta1: Scalar
    rest1: Scalar
    beta2: Scalar
    rest2: Scalar
    eps: Scalar
    correction: Scalar
    decay: Scalar
    step_size: Scalar


def numbers_of(group: Group, step: Scalar) -> Numbers:
    """The numbers of update `step`, computed in fp64."""
    beta1, beta2 = group["betas"]
    lr = rate(group)
    return Numbers(
        beta1=beta1,
        rest1=1 - beta1,
        beta2=beta2,
        rest2=1 - beta2,
        eps=group["eps"],
        correction=1 / root(1 - power(beta2, step)),
        decay=1 - lr * group["weight_decay"],
        step_size=lr / (1 - power(beta1, step)),
    )


def _root(values: Tensor) -> Tensor:
    """The square root, rounded correctly: torch's fp32 root is so on CUDA, and on CPUs off by one bit now and then."""
    return values.double().sqrt().to(values.dtype) if values.device.type == "cpu" else values.sqrt()


def _variant(update: Update) -> dict[str, Any]:
    return variant_of(update) | {"STATE": 8 * update.state["exp_avg"].itemsize}


def _tensors(update: Update) -> tuple[Tensor, ...]:
    """The state tensors in the order of the kernel's table; none before the first update."""
    keys = (*MOMENTS, *(f"{key}_scale" for key in MOMENTS))
    return tuple(update.state[key] for key in keys if key in update.state)
