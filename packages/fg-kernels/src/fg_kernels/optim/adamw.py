"""AdamW whose weights, and if wanted state, may be bf16."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fg_kernels.errors import OperandError, check_range
from fg_kernels.optim._base import Optimizer, State, Update

_STATE_DTYPES = (torch.float32, torch.bfloat16)


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101).

    On fp32 and fp64 parameters it is `torch.optim.AdamW`. A bf16 parameter is raised to fp32, decayed and updated
    there, and rounded once.

    Args:
        params: parameters, (name, parameter) pairs or groups of either; names key the rounding noise.
        lr: learning rate.
        betas: decay rates of the two moments.
        eps: added to the root of the second moment.
        weight_decay: per update, times `lr`.
        rounding: "stochastic" or "nearest", for bf16 parameters and bf16 state.
        seed: of the rounding noise.
        state_dtype: of the moments beside bf16 and fp16 parameters: float32 (8 bytes per parameter), or bfloat16
            (4 bytes), rounded as the parameters are. Wider parameters keep moments of their own dtype.

    Raises:
        KernelError: an argument outside its range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        *,
        rounding: str = "stochastic",
        seed: int = 0,
        state_dtype: torch.dtype = torch.float32,
    ) -> None:
        check_range("betas[0]", betas[0], 0.0, 1.0)
        check_range("betas[1]", betas[1], 0.0, 1.0)
        check_range("eps", eps, 0.0)
        check_range("weight_decay", weight_decay, 0.0)
        if state_dtype not in _STATE_DTYPES:
            raise OperandError(f"state_dtype={state_dtype}; valid: {', '.join(map(str, _STATE_DTYPES))}")
        self.state_dtype = state_dtype
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults, rounding=rounding, seed=seed)

    def update_parameter(self, value: Tensor, gradient: Tensor, update: Update) -> None:
        """Decay and update `value`, see `Optimizer.update_parameter`."""
        group, step, lr = update.group, update.step, float(update.group["lr"])
        beta1, beta2 = group["betas"]
        first, second = self._moments(value, update.state)
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        denominator = (second.sqrt() / math.sqrt(1 - beta2**step)).add_(group["eps"])
        value.mul_(1 - lr * group["weight_decay"])
        value.addcdiv_(first, denominator, value=-lr / (1 - beta1**step))
        for key, moment in (("exp_avg", first), ("exp_avg_sq", second)):
            if moment is not update.state[key]:
                update.round_into(update.state[key], moment, key)

    def _moments(self, value: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """Return both moments in the dtype of `value`: the state itself where it has that dtype."""
        if "exp_avg" not in state:
            dtype = value.dtype if value.dtype == torch.float64 else self.state_dtype
            state["exp_avg"] = torch.zeros_like(value, dtype=dtype)
            state["exp_avg_sq"] = torch.zeros_like(value, dtype=dtype)
        return state["exp_avg"].to(value.dtype), state["exp_avg_sq"].to(value.dtype)
