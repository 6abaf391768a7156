"""Optimizers whose weights go back through the rounding kernel, and kernels called from hooks of the backward pass."""

import pytest
import torch
from torch import nn

from fg_kernels import dispatch
from fg_kernels.memory import OptimizerInBackward
from fg_kernels.optim import SGD, Adafactor, AdamW, Apollo, Muon, SinkGD, make_re_multiopt


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 12, bias=False), nn.Tanh(), nn.Linear(12, 9)).to(torch.bfloat16)


def backward(module, step):
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(step)).to(torch.bfloat16)
    module(x).float().square().mean().backward()


def train(module, optimizer, steps=3):
    for step in range(steps):
        backward(module, step)
        optimizer.step()
        optimizer.zero_grad()
    return [p.detach() for p in module.parameters()]


def muon_and_sinkgd(named):
    factories = {"muon": lambda p: Muon(p, lr=1e-2), "sinkgd": lambda p: SinkGD(p, lr=1e-2)}
    return make_re_multiopt(named, [("weight", "muon"), (".*", "sinkgd")], factories)


@pytest.mark.parametrize("build", [muon_and_sinkgd, Apollo, SinkGD])
def test_the_kernel_writes_the_bits_of_the_reference(build):
    kernel, plain = model(), model()
    assert dispatch.which("sr_copy_", kernel[0].weight.detach()).backend == "interpret"
    ours = train(kernel, build(kernel.named_parameters()))
    with dispatch.use("reference"):
        theirs = train(plain, build(plain.named_parameters()))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("build", [muon_and_sinkgd, Apollo, AdamW, Adafactor, SGD])
def test_inside_the_backward_pass_the_bits_are_those_of_a_step(build):
    """One launch for each parameter there, one for all of them here."""
    after, inside = model(), model()
    expected = train(after, build(after.named_parameters()))
    in_backward = OptimizerInBackward(build(inside.named_parameters()))
    for step in range(3):
        backward(inside, step)
        in_backward.finish()
    assert all(torch.equal(a, b) for a, b in zip(expected, inside.parameters(), strict=True))
