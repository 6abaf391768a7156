"""Apple's cut cross entropy (arXiv 2411.09009): the logits stay in the processor's own memory.

Its filter, which leaves out small gradients, is turned off.
"""

from __future__ import annotations

from importlib import import_module

from torch import Tensor

from fg_kernels.backends._request import Request


def linear_cross_entropy(request: Request) -> Tensor:
    """Losses in the dtype of the library's choice."""
    request.refuse("cut-cross-entropy", "bias", "z_loss", "label_smoothing", "logit_scale")
    request.need_cuda("cut-cross-entropy")
    function = import_module("cut_cross_entropy").linear_cross_entropy
    return function(
        request.x,
        request.weight,
        request.target,
        ignore_index=request.options.ignore_index,
        softcap=request.options.softcap,
        reduction=request.reduction,
        filter_eps=None,
    )
