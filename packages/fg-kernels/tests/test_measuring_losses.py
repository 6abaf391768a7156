"""The peers of the loss are asked for what they are compared in."""

import pytest
import torch
from torch.nn import functional as F

from fg_kernels.measuring.case import Absent
from fg_kernels.measuring.losses import loss_cases
from fg_kernels.measuring.memory import peak_bytes

CPU = torch.device("cpu")


@pytest.mark.skipif(not hasattr(F, "linear_cross_entropy"), reason="needs torch 2.13")
def test_torch_is_asked_to_take_its_tokens_in_chunks():
    """Without options it takes all logits, like the plain loss."""
    (case,) = loss_cases(CPU, quick=True)
    chunked, plain = (case.contenders[name](CPU) for name in ("torch linear_cross_entropy", "torch, all logits"))
    assert 2 * peak_bytes(chunked.run) < peak_bytes(plain.run)
    assert chunked.facts()["loss error"] < 0.1


def test_peers_whose_kernels_need_a_device_say_so():
    (case,) = loss_cases(CPU, quick=True)
    for name in ("cut-cross-entropy", "cut-cross-entropy, filtered", "liger", "quack"):
        with pytest.raises(Absent, match=r"is not installed|needs a CUDA device"):
            case.contenders[name](CPU)
