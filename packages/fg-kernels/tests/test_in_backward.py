import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fg_kernels import OptimizerInBackward
from fg_kernels.errors import GradientError, OperandError, ParameterGroupError
from fg_kernels.memory.in_backward import _Layout, _norm
from fg_kernels.optim import SGD, Adafactor, AdamW, Apollo, Muon, SinkGD, make_re_multiopt


class Tied(nn.Module):
    """Two hidden layers between an embedding and a head that is the embedding again."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.up, self.down = nn.Linear(16, 24, bias=False), nn.Linear(24, 16)

    def forward(self, ids):
        return F.linear(self.down(self.up(self.embed(ids)).relu()), self.embed.weight)


def model(dtype=torch.bfloat16):
    torch.manual_seed(0)
    return Tied().to(dtype)


def loss_of(module, step):
    ids = torch.randint(0, 20, (2, 9), generator=torch.Generator().manual_seed(step))
    return F.cross_entropy(module(ids[:, :-1]).float().flatten(0, 1), ids[:, 1:].flatten())


def combined(named):
    hidden, rest = (lambda p: Muon(p, lr=1e-2)), (lambda p: AdamW(p, lr=1e-2))
    return make_re_multiopt(named, [(r"up|down\.weight", "hidden"), (".*", "rest")], {"hidden": hidden, "rest": rest})


BUILDERS = {
    "adamw": AdamW,
    "adafactor": Adafactor,
    "apollo": lambda named: Apollo(named, rank=2, update_steps=2),
    "sgd": lambda named: SGD(named, lr=0.1, momentum=0.9),
    "sinkgd": SinkGD,
    "multi": combined,
}


def assert_equal_bits(one, other):
    for (name, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("builder", BUILDERS.values(), ids=BUILDERS.keys())
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_bits_and_the_norm_are_those_of_a_step_after_backward(builder, dtype):
    after, inside = model(dtype), model(dtype)
    optimizer = builder(after.named_parameters())
    in_backward = OptimizerInBackward(builder(inside.named_parameters()))
    for step in range(4):
        loss_of(after, step).backward()
        expected = nn.utils.get_total_norm([p.grad.float() for p in after.parameters()])
        optimizer.step()
        optimizer.zero_grad()
        loss_of(inside, step).backward()
        assert all(p.grad is None for p in inside.parameters())
        norm = in_backward.finish()
        assert norm.shape == () and norm.dtype == torch.float32
        torch.testing.assert_close(norm, expected)
    assert_equal_bits(after, inside)


def test_there_is_one_gradient_at_a_time():
    module = nn.Sequential(*(nn.Linear(8, 8) for _ in range(5)))
    alive = []
    for parameter in module.parameters():
        parameter.register_post_accumulate_grad_hook(
            lambda _: alive.append(sum(p.grad is not None for p in module.parameters()))
        )
    OptimizerInBackward(AdamW(module.named_parameters()))
    module(torch.ones(2, 8)).sum().backward()
    assert len(alive) == 10 and max(alive) <= 2


def test_a_shared_parameter_is_updated_once_when_both_uses_have_contributed():
    module = model()
    optimizer = AdamW(module.named_parameters())
    in_backward = OptimizerInBackward(optimizer)
    loss_of(module, 0).backward()
    in_backward.finish()
    assert optimizer.state[module.embed.weight]["step"] == 1


def test_the_end_of_an_update_is_told_once():
    module, told = model(), []
    optimizer = AdamW(module.named_parameters(), lr=1.0)
    optimizer.register_step_post_hook(lambda *_: told.append("hook"))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    in_backward = OptimizerInBackward(optimizer, on_update=lambda norm: told.append(norm.item()))
    for step in range(2):
        loss_of(module, step).backward()
        norm = in_backward.finish()
        schedule.step()
        assert told[2 * step :] == ["hook", norm.item()]
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert {state["step"] for state in optimizer.state.values()} == {2}


def test_accumulation_is_refused_and_nothing_is_updated_twice():
    module = model()
    optimizer = AdamW(module.named_parameters())
    in_backward = OptimizerInBackward(optimizer)
    loss_of(module, 0).backward()
    before = [p.detach().clone() for p in module.parameters()]
    with pytest.raises(GradientError, match="gradients cannot be accumulated"):
        loss_of(module, 1).backward()
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), before, strict=True))
    in_backward.finish()
    loss_of(module, 1).backward()
    assert {state["step"] for state in optimizer.state.values()} == {2}


def test_after_a_backward_that_failed_training_goes_on():
    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise FloatingPointError("overflow")

    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    optimizer = AdamW(module.named_parameters())
    in_backward = OptimizerInBackward(optimizer)
    with pytest.raises(FloatingPointError):
        module[1](Failing.apply(module[0](torch.ones(1, 4)))).sum().backward()
    in_backward.discard()
    with pytest.raises(GradientError, match="call backward"):
        in_backward.finish()
    module(torch.ones(1, 4)).sum().backward()
    assert in_backward.finish() > 0
    assert [optimizer.state[p]["step"] for p in module.parameters()] == [1, 1, 2, 2]


def test_an_update_that_was_refused_leaves_no_gradient_behind():
    weight = nn.Parameter(torch.ones(3, 4))
    optimizer = Apollo([("w", weight)], projector_factory=lambda *_: torch.ones(9, 9))
    in_backward = OptimizerInBackward(optimizer)
    with pytest.raises(OperandError, match=r"made \(9, 9\)"):
        weight.square().sum().backward()
    in_backward.discard()
    optimizer.projector_factory = None
    weight.square().sum().backward()
    assert in_backward.finish() == (4 * weight.numel()) ** 0.5
    assert (weight < 1).all()


def test_parameters_without_a_gradient_and_frozen_ones_are_left_alone():
    module = nn.ModuleDict({"used": nn.Linear(4, 4), "idle": nn.Linear(4, 4), "frozen": nn.Linear(4, 4)})
    module["frozen"].requires_grad_(False)
    optimizer = AdamW(module.named_parameters())
    in_backward = OptimizerInBackward(optimizer)
    module["frozen"](module["used"](torch.ones(1, 4))).sum().backward()
    in_backward.finish()
    assert set(optimizer.state) == set(module["used"].parameters())


def test_once_removed_gradients_are_kept():
    module = model()
    optimizer = AdamW(module.named_parameters())
    with OptimizerInBackward(optimizer) as in_backward:
        loss_of(module, 0).backward()
        in_backward.finish()
    loss_of(module, 1).backward()
    assert all(p.grad is not None for p in module.parameters())
    assert {state["step"] for state in optimizer.state.values()} == {1}
    optimizer.step()
    assert {state["step"] for state in optimizer.state.values()} == {2}


def test_optimizers_that_cannot_and_gradients_that_exist_are_refused():
    module = model()
    with pytest.raises(ParameterGroupError, match=r"torch\.optim\.sgd\.SGD has no step_param"):
        OptimizerInBackward(torch.optim.SGD(module.parameters()))
    mixed = make_re_multiopt(
        module.named_parameters(), [("embed", "a"), (".*", "b")], {"a": AdamW, "b": torch.optim.SGD}
    )
    with pytest.raises(ParameterGroupError, match="SGD has no step_param"):
        OptimizerInBackward(mixed)
    loss_of(module, 0).backward()
    with pytest.raises(GradientError, match="zero_grad"):
        OptimizerInBackward(AdamW(module.named_parameters()))
    module.zero_grad()
    loss_of(module, 0).backward()
    assert all(p.grad is not None for p in module.parameters())


def test_the_norm_over_the_cpu_and_a_device_is_on_the_device():
    squares = {_Layout(torch.device(device)): torch.ones((), device=device) for device in ("cpu", "meta")}
    assert _norm(squares).device.type == "meta"
