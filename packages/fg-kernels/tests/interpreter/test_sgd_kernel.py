from dataclasses import replace

import pytest
import torch

from fg_kernels.optim import SGD
from fg_kernels.optim._base import Update
from fg_kernels.optim._fused import batches, variant_of
from fg_kernels.window import Window

SHAPES = ((50, 100), (33, 17), (8,), (0,))


def parameters(dtype: torch.dtype) -> list[tuple[str, torch.nn.Parameter]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (f"layers.{i}.weight", torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)))
        for i, shape in enumerate(SHAPES)
    ]


def train(optimizer, named):
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        for _, parameter in named:
            parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(
    "kind", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.8, "dampening": 0.3}]
)
def test_parameters_and_momentum_have_the_bits_of_the_plain_rule(kind, decay, dtype):
    ours, theirs = parameters(dtype), parameters(dtype)
    kernel = train(SGD(ours, lr=0.1, weight_decay=decay, **kind), ours)
    plain = train(SGD(theirs, lr=0.1, weight_decay=decay, fused=False, **kind), theirs)
    assert kernel._tables and not plain._tables
    for (name, a), (_, b) in zip(ours, theirs, strict=True):
        assert torch.equal(a, b), name
        if kind:
            assert torch.equal(kernel.state[a]["momentum_buffer"], plain.state[b]["momentum_buffer"])


def test_counted_on_the_device():
    ours, theirs = parameters(torch.bfloat16), parameters(torch.bfloat16)
    options = {"lr": torch.tensor(0.1), "momentum": 0.8, "dampening": 0.3, "capturable": True}
    train(SGD(ours, **options), ours)
    train(SGD(theirs, fused=False, **options), theirs)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(ours, theirs, strict=True))


def test_the_momentum_that_torch_keeps_in_bf16_is_raised_to_fp32():
    named = parameters(torch.bfloat16)
    torchs = train(torch.optim.SGD([p for _, p in named], lr=0.1, momentum=0.9), named)
    optimizer = SGD([p for _, p in named], momentum=0.9, fused=True)
    optimizer.load_state_dict(torchs.state_dict())
    for _, parameter in named:
        assert torch.equal(
            optimizer.state[parameter]["momentum_buffer"], torchs.state[parameter]["momentum_buffer"].float()
        )
        assert optimizer.state[parameter]["momentum_buffer"].dtype == torch.float32


def test_each_device_has_a_launch_of_its_own():
    state = {"parameter": torch.ones(16), "gradient": torch.ones(16), "state": {}, "group": {"rounding": "nearest"}}
    here = [Update(**state, name=name, window=Window()) for name in ("a", "b")]
    there = replace(here[0], parameter=torch.ones(16, device="meta"))
    assert [members for _, members in batches([here[0], there, here[1]], variant_of)] == [here, [there]]
