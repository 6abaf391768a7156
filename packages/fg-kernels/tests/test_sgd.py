import pytest
import torch

from fg_kernels.errors import HyperparameterError
from fg_kernels.functional import sr_copy_
from fg_kernels.optim import SGD

KINDS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.8, "dampening": 0.3},
]


def parameters(dtype=torch.float32) -> list[tuple[str, torch.nn.Parameter]]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((24, 40), (17,))
    return [
        (f"layers.{i}.weight", torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)))
        for i, shape in enumerate(shapes)
    ]


def train(optimizer, named, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(1000 + step)
        for _, parameter in named:
            parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
        optimizer.step()


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_it_is_torchs(kind, decay, dtype, tolerance):
    ours, theirs = parameters(dtype), parameters(dtype)
    train(SGD(ours, lr=0.1, weight_decay=decay, **kind), ours, range(10))
    train(torch.optim.SGD(theirs, lr=0.1, weight_decay=decay, **kind), theirs, range(10))
    for (_, a), (_, b) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_counting_on_the_device_changes_nothing(kind):
    ours, theirs = parameters(torch.bfloat16), parameters(torch.bfloat16)
    train(SGD(ours, lr=torch.tensor(0.1), capturable=True, **kind), ours, range(4))
    train(SGD(theirs, lr=float(torch.tensor(0.1)), **kind), theirs, range(4))
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(ours, theirs, strict=True))


def test_bf16_weights_are_the_fp32_update_rounded_once_with_momentum_in_fp32():
    half = parameters(torch.bfloat16)
    full = [(name, torch.nn.Parameter(p.detach().float())) for name, p in half]
    options = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3}
    ours, exact = SGD(half, seed=9, **options), SGD(full, **options)
    generator = torch.Generator().manual_seed(3)
    for (_, h), (_, f) in zip(half, full, strict=True):
        h.grad = torch.randn(h.shape, generator=generator).bfloat16()
        f.grad = h.grad.float()
    ours.step(), exact.step()
    for (name, h), (_, f) in zip(half, full, strict=True):
        assert torch.equal(h, sr_copy_(torch.empty_like(h), f.detach(), seed=9, name=name, step=1))
        assert torch.equal(ours.state[h]["momentum_buffer"], exact.state[f]["momentum_buffer"])


def test_without_momentum_there_is_no_state_but_the_count():
    named = parameters()
    optimizer = SGD(named)
    train(optimizer, named, range(2))
    assert [dict(optimizer.state[p]) for _, p in named] == [{"step": 2}] * 2


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_resumed_run_has_the_same_bits(momentum, dtype):
    straight, stopped = parameters(dtype), parameters(dtype)
    train(SGD(straight, momentum=momentum, dampening=0.1), straight, range(6))
    first = SGD(stopped, momentum=momentum, dampening=0.1)
    train(first, stopped, range(3))
    second = SGD(stopped)
    second.load_state_dict(first.state_dict())
    train(second, stopped, range(3, 6))
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(straight, stopped, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": -0.1}, r"momentum=-0\.1"),
        ({"nesterov": True}, "nesterov=True needs momentum"),
        ({"nesterov": True, "momentum": 0.9, "dampening": 0.1}, r"not 0\.9 and 0\.1"),
        ({"weight_decay": float("nan")}, "weight_decay=nan"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(HyperparameterError, match=message):
        SGD(parameters(), **options)
