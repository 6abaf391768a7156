"""QuACK's chunked linear cross entropy (quack-kernels), for Hopper and Blackwell."""

from __future__ import annotations

from importlib import import_module

from torch import Tensor

from fg_kernels.backends._request import Request


def linear_cross_entropy(request: Request) -> Tensor:
    """By chunks of the library's own choice."""
    request.refuse("quack", "bias", 'reduction="none"', "softcap", "z_loss", "label_smoothing", "logit_scale")
    request.need_cuda("quack")
    function = import_module("quack.linear_cross_entropy").chunked_linear_cross_entropy
    return function(
        request.x,
        request.weight,
        request.target,
        ignore_index=request.options.ignore_index,
        reduction=request.reduction,
    )
