"""Liger's fused linear cross entropy (liger-kernel, arXiv 2410.10989), with its weight gradient accumulated in fp32.

Its chunks are small where the vocabulary is large: hidden / vocabulary of all tokens.
"""

from __future__ import annotations

import os
from importlib import import_module

import torch
from torch import Tensor

from fg_kernels.backends._request import Request


def linear_cross_entropy(request: Request) -> Tensor:
    """Liger computes gradients in the forward pass, so single losses come without any."""
    request.refuse("liger", "logit_scale", 'reduction="none"')
    if os.environ.get("TRITON_INTERPRET") != "1":
        request.need_cuda("liger")
    options = request.options
    function = import_module("liger_kernel.transformers.functional").liger_fused_linear_cross_entropy
    return function(
        request.x,
        request.weight,
        request.target,
        request.bias,
        ignore_index=options.ignore_index,
        lse_square_scale=options.z_loss,
        label_smoothing=options.label_smoothing,
        reduction=request.reduction,
        softcap=options.softcap,
        accum_dtype=torch.float32,
    )
