"""Kernels need addresses: fake tensors have none, and a graph of `torch.compile` ends before a launch."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from fg_kernels.optim import SGD, Adafactor, AdamW

KINDS = (SGD, Adafactor, AdamW)


def parameter_with_gradient(number: int = 0) -> torch.nn.Parameter:
    parameter = torch.nn.Parameter(torch.ones(16, 8, dtype=torch.bfloat16))
    parameter.grad = torch.full_like(parameter, 0.25 + number)
    return parameter


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fused", ["auto", True])
def test_fake_tensors_leave_nothing_behind_that_a_kernel_would_read(kind, fused):
    with FakeTensorMode():
        faked = parameter_with_gradient()
        kind([("w", faked)], lr=0.1, fused=fused).step()
    first, second = parameter_with_gradient(), parameter_with_gradient()
    kind([("w", first)], lr=0.1).step()
    kind([("w", second)], lr=0.1, fused=False).step()
    assert (faked.shape, faked.dtype) == (first.shape, first.dtype)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("kind", KINDS)
def test_meta_tensors_are_updated_by_the_plain_rule(kind):
    parameter = torch.nn.Parameter(torch.empty(16, 8, device="meta"))
    parameter.grad = torch.empty_like(parameter)
    optimizer = kind([("w", parameter)], lr=0.1)
    optimizer.step()
    assert optimizer.state[parameter]["step"] == 1
    assert all(value.is_meta for value in optimizer.state[parameter].values() if isinstance(value, torch.Tensor))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("capturable", [False, True])
def test_a_compiled_step_launches_the_kernels_outside_of_its_graphs(kind, capturable):
    torch.compiler.reset()
    plain, compiled = parameter_with_gradient(), parameter_with_gradient()
    optimizers = [kind([("w", parameter)], lr=0.1, capturable=capturable) for parameter in (plain, compiled)]
    steps = [optimizers[0].step, torch.compile(optimizers[1].step, backend="aot_eager")]
    for number in range(2):
        for parameter, step in zip((plain, compiled), steps, strict=True):
            parameter.grad = torch.full_like(parameter, 0.25 + number)
            step()
        assert torch.equal(plain, compiled)
    assert all(optimizer._tables for optimizer in optimizers)  # what only a launch writes
