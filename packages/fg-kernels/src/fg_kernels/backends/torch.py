"""torch's own chunked `torch.nn.functional.linear_cross_entropy`, from torch 2.13 on.

It adds up the losses in the dtype of the operands: in bf16 a sum over thousands of tokens loses its digits.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from fg_kernels.backends._request import Request
from fg_kernels.errors import BackendError


def linear_cross_entropy(request: Request) -> Tensor:
    """By chunks of torch's own choice; what torch would do over full logits only, with a warning, is refused."""
    function = cast(Any, getattr(F, "linear_cross_entropy", None))
    if function is None:
        raise BackendError(f"torch {torch.__version__} has no linear_cross_entropy; it comes with 2.13")
    request.refuse("torch", "softcap", "z_loss", "label_smoothing", "logit_scale")
    return function(
        request.x,
        request.weight,
        request.target,
        linear_bias=request.bias,
        reduction=request.reduction,
        ignore_index=request.options.ignore_index,
        options=cast(Any, torch.nn).LinearCrossEntropyOptions(),
    )
