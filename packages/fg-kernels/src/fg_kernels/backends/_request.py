"""What is asked of another library."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fg_kernels.errors import BackendError
from fg_kernels.reference.linear_cross_entropy import LossOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """The cross entropy of a linear layer.

    Attributes:
        x: (tokens, hidden).
        weight: (vocabulary, hidden).
        bias: (vocabulary,).
        target: (tokens,).
        options: of the loss.
        each: every target's loss is wanted, not their sum.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    target: Tensor
    options: LossOptions
    each: bool

    @property
    def reduction(self) -> str:
        return "none" if self.each else "sum"

    def refuse(self, library: str, *unsupported: str) -> None:
        """Raise if something is asked for that `library` cannot do; by the names of arguments."""
        options = self.options
        asked = {
            "bias": self.bias is not None,
            'reduction="none"': self.each,
            "softcap": options.softcap is not None,
            "z_loss": options.z_loss != 0,
            "label_smoothing": options.label_smoothing != 0,
            "logit_scale": options.logit_scale != 1,
        }
        refused = [name for name in unsupported if asked[name]]
        if refused:
            raise BackendError(f'linear_cross_entropy: {library} cannot do {", ".join(refused)}; use backend="auto"')

    def need_cuda(self, library: str) -> None:
        """Raise unless the operands are on a CUDA device."""
        if not self.x.is_cuda:
            raise BackendError(f"linear_cross_entropy: {library} needs a CUDA device, not {self.x.device.type}")
