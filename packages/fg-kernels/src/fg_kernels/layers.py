"""Modules of the small operations; their parameters have the names that Llama's have in transformers."""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor, nn

from fg_kernels.functional import add_rms_norm, rms_norm, swiglu


class RMSNorm(nn.Module):
    """Root mean square normalisation over the last dimension; see `fg_kernels.functional.rms_norm`.

    Args:
        hidden_size: of the last dimension.
        eps: added to the mean square.
        weight_offset: added to the weight, which starts at `1 - weight_offset`; 1.0 for Gemma.
        device: of the weight.
        dtype: of the weight.
    """

    def __init__(
        self,
        hidden_size: int,
        *,
        eps: float = 1e-6,
        weight_offset: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.eps = eps
        self.weight_offset = weight_offset
        self.weight = nn.Parameter(torch.empty(hidden_size, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Make the layer multiply by one."""
        nn.init.constant_(self.weight, 1.0 - self.weight_offset)

    @overload
    def forward(self, x: Tensor, residual: None = None) -> Tensor: ...

    @overload
    def forward(self, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]: ...

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Return the normalised `x`; with a residual, the normalised sum and the sum, all (..., hidden)."""
        if residual is None:
            return rms_norm(x, self.weight, eps=self.eps, weight_offset=self.weight_offset)
        return add_rms_norm(x, residual, self.weight, eps=self.eps, weight_offset=self.weight_offset)

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, eps={self.eps}, weight_offset={self.weight_offset}"


class SwiGLU(nn.Module):
    """Feed-forward layer `down_proj(silu(gate_proj(x)) * up_proj(x))`; see `fg_kernels.functional.swiglu`.

    Args:
        hidden_size: of input and output.
        intermediate_size: of gate and up.
        bias: whether the three projections have one.
        inplace_backward: gradients overwrite gate and up, which belong to the layer: two tensors (..., intermediate)
            less, and one backward pass only.
        device: of the weights.
        dtype: of the weights.
    """

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        *,
        bias: bool = False,
        inplace_backward: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.inplace_backward = inplace_backward
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=bias, device=device, dtype=dtype)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=bias, device=device, dtype=dtype)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=bias, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., hidden) to (..., hidden)."""
        hidden = swiglu(self.gate_proj(x), self.up_proj(x), inplace_backward=self.inplace_backward)
        return self.down_proj(hidden)
