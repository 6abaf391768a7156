"""Optimizers where tensors have no values, or where `torch.compile` looks on."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from fg_kernels.optim import SGD, Adafactor, AdamW, Apollo, Muon, SinkGD

KINDS = (SGD, Adafactor, AdamW, Apollo, Muon, SinkGD)


def shapes_of(optimizer) -> dict[str, tuple]:
    (state,) = optimizer.state.values()
    return {key: (tuple(v.shape), v.dtype) for key, v in state.items() if isinstance(v, torch.Tensor)}


def trained(kind, **options):
    parameter = torch.nn.Parameter(torch.ones(16, 8, dtype=torch.bfloat16))
    optimizer = kind([("w", parameter)], lr=0.1, **options)
    parameter.grad = torch.full_like(parameter, 0.5)
    optimizer.step()
    return optimizer


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
def test_fake_tensors_tell_the_shapes_of_the_state(kind):
    with FakeTensorMode():
        faked = trained(kind)
    assert shapes_of(faked) == shapes_of(trained(kind))


def test_fake_tensors_have_no_kernels_to_insist_on():
    with FakeTensorMode():
        faked = trained(AdamW, fused=True)
    assert shapes_of(faked).keys() == {"exp_avg", "exp_avg_sq"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_compiled_step_has_the_bits_of_a_plain_one(kind):
    torch.compiler.reset()
    plain, compiled = (torch.nn.Parameter(torch.ones(16, 8, dtype=torch.bfloat16)) for _ in range(2))
    steps = [
        kind([("w", plain)], lr=0.1).step,
        torch.compile(kind([("w", compiled)], lr=0.1).step, backend="aot_eager"),
    ]
    for number in range(3):
        for parameter, step in zip((plain, compiled), steps, strict=True):
            parameter.grad = torch.full_like(parameter, 0.25 + number)
            step()
        assert torch.equal(plain, compiled)
    assert not torch.equal(plain, torch.ones_like(plain))
