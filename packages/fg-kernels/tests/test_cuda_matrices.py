"""Muon, Apollo and SinkGD on a device: captured in CUDA graphs, and without the host waiting."""

import pytest
import torch

from fg_kernels.optim import Apollo, Muon, SinkGD

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

BUILDERS = {
    "muon": lambda named, **options: Muon(named, **options),
    "apollo": lambda named, **options: Apollo(named, rank=2, update_steps=2, **options),
    "apollo-mini": lambda named, **options: Apollo(named, mini=True, scale=4.0, update_steps=2, **options),
    "sinkgd": lambda named, **options: SinkGD(named, **options),
}


@pytest.fixture(params=BUILDERS.values(), ids=BUILDERS.keys())
def build(request):
    return request.param


def parameters(dtype=torch.bfloat16):
    generator = torch.Generator().manual_seed(0)
    shapes = ((96, 64), (64, 200))
    return [
        (f"w{i}", torch.nn.Parameter(torch.randn(shape, generator=generator).to("cuda", dtype)))
        for i, shape in enumerate(shapes)
    ]


def give_gradients(named, step):
    """Into the same memory every time, as a captured graph needs it."""
    generator = torch.Generator().manual_seed(step)
    for _, parameter in named:
        gradient = torch.randn(parameter.shape, generator=generator).to("cuda", parameter.dtype)
        if parameter.grad is None:
            parameter.grad = gradient
        else:
            parameter.grad.copy_(gradient)


def run(optimizer, named, steps, step=None):
    for number in steps:
        give_gradients(named, number)
        (step or optimizer.step)()


def test_a_captured_update_replays_to_the_bits_of_plain_ones(build):
    """Also across new projections and a learning rate that changes on the device."""
    plain, captured = parameters(), parameters()
    rates = [torch.tensor(0.01, device="cuda") for _ in range(2)]
    one, other = build(plain, lr=rates[0], capturable=True), build(captured, lr=rates[1], capturable=True)
    run(one, plain, range(3))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run(other, captured, range(3))
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        other.step()
    for rate in rates:
        rate.mul_(0.5)
    run(one, plain, range(3, 8))
    run(other, captured, range(3, 8), graph.replay)
    for (name, a), (_, b) in zip(plain, captured, strict=True):
        assert torch.equal(a, b), name
        assert one.state[a]["step"].item() == other.state[b]["step"].item() == 8


@pytest.mark.parametrize("capturable", [True, False])
def test_the_host_never_waits(build, capturable):
    named = parameters()
    optimizer = build(named, capturable=capturable)
    run(optimizer, named, range(2))
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_device_agrees_with_the_cpu(build):
    device = parameters(torch.float32)
    host = [(name, torch.nn.Parameter(p.detach().cpu())) for name, p in device]
    one, other = build(device), build(host)
    for step in range(3):
        give_gradients(device, step)
        for (_, ours), (_, theirs) in zip(host, device, strict=True):
            ours.grad = theirs.grad.cpu()
        one.step(), other.step()
    for (_, a), (_, b) in zip(device, host, strict=True):
        # Muon multiplies in bf16, whose sums a GPU takes in another order.
        torch.testing.assert_close(a.detach().cpu(), b.detach(), rtol=1e-3, atol=1e-4)
