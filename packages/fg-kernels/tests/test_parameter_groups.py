"""What callers hand over: values and keys of groups, numbers that arrive as text, names that wrappers have changed."""

import copy

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from fg_kernels.errors import HyperparameterError, StateMismatchError, UnknownOptionError
from fg_kernels.optim import SGD, Adafactor, AdamW, Apollo, MultiOptimizer, Muon, SinkGD

OURS = [AdamW, SGD, Adafactor, Apollo, Muon, SinkGD]


def matrix() -> nn.Parameter:
    return nn.Parameter(torch.ones(4, 4))


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (AdamW, {"weight_decay": -1.0}, r"weight_decay=-1\.0"),
        (AdamW, {"betas": (1.5, 3)}, r"betas\[0\]=1\.5"),
        (AdamW, {"betas": (0.9,)}, r"betas=\(0\.9,\) must be 2 numbers"),
        (AdamW, {"betas": 0.9}, r"betas=0\.9 must be 2 numbers"),
        (AdamW, {"eps": "1e-6"}, r"eps is the text '1e-6'.*1\.0e-6"),
        (AdamW, {"eps": None}, "eps=None must be a number"),
        (AdamW, {"weight_decay": "2.5e5"}, r"weight_decay is the text '2\.5e5'.*2\.5e\+5"),
        (AdamW, {"weight_decay": "0.1"}, "weight_decay is the text '0.1'.*without quotes"),
        (AdamW, {"weight_decay": "little"}, "weight_decay is the text 'little', not a number$"),
        (AdamW, {"betas": [0.9, "9e-1"]}, r"betas\[1\] is the text '9e-1'"),
        (AdamW, {"lr": [1e-3]}, r"lr=\[0\.001\] must be a number"),
        (AdamW, {"seed": 1.5}, r"seed=1\.5 must be an integer"),
        (AdamW, {"seed": "1"}, "seed is the text '1'"),
        (SGD, {"dampening": "1e-1"}, "dampening is the text"),
        (SGD, {"nesterov": True}, "nesterov=True needs momentum"),
        (Adafactor, {"clip_threshold": "1e0"}, "clip_threshold is the text"),
        (Adafactor, {"clip_threshold": 0.0}, r"clip_threshold=0\.0 must be positive"),
        (Adafactor, {"decay_rate": "-8e-1"}, r"decay_rate is the text.*-8\.0e-1"),
        (Adafactor, {"eps": (1e-30, 1e-3, 1e-3)}, "must be 2 numbers"),
        (Adafactor, {"eps": "1e-30"}, "eps='1e-30' must be 2 numbers"),
        (Apollo, {"rank": 1.5}, r"rank=1\.5 must be an integer"),
        (Apollo, {"scale": "1e2"}, r"scale is the text.*1\.0e\+2"),
        (Muon, {"ns_coefficients": (1.0, 2.0)}, "must be 3 numbers"),
        (Muon, {"ns_steps": 2.5}, r"ns_steps=2\.5 must be an integer"),
        (SinkGD, {"num_iters": 5.0}, r"num_iters=5\.0 must be an integer"),
    ],
)
def test_groups_are_held_to_what_the_constructor_is(kind, values, message):
    with pytest.raises(HyperparameterError, match=message):
        kind([matrix()], **values)
    with pytest.raises(HyperparameterError, match=message):
        kind([{"params": [matrix()]}, {"params": [matrix()], **values}])


@pytest.mark.parametrize("kind", OURS)
def test_a_key_that_no_hyperparameter_has_is_refused_with_the_nearest(kind):
    optimizer = kind([matrix()])
    with pytest.raises(UnknownOptionError, match=r"'weight_decy' does not exist.*Did you mean 'weight_decay'\?"):
        optimizer.add_param_group({"params": [matrix()], "weight_decy": 0.0})
    assert len(optimizer.param_groups) == 1


def test_groups_of_another_optimizer_with_a_schedule_are_taken_as_they_are():
    first = AdamW([{"params": [("a", matrix())], "name": "all", "weight_decay": 0.0}])
    torch.optim.lr_scheduler.OneCycleLR(first, max_lr=0.1, total_steps=10, cycle_momentum=False)
    MultiOptimizer({"adamw": first})
    second = AdamW(copy.copy(first.param_groups))
    assert second.param_groups[0]["weight_decay"] == 0.0 and second.param_groups[0]["optimizer"] == "adamw"


def test_sgd_takes_nothing_but_the_rate_by_position():
    with pytest.raises(TypeError, match="positional"):
        SGD([matrix()], 0.1, 0.9)


# --- names -----------------------------------------------------------------------------------------------------------


class Replicated(nn.Module):
    """Calls the model inside it `module`, as DistributedDataParallel does, which needs processes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.module = model


class Nested(nn.Module):
    """A model with a part that is called `module` by its author."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Linear(4, 4)
        self.head = nn.Linear(4, 4)


def checkpointed(model: nn.Module) -> nn.Module:
    for name, child in list(model.named_children()):
        setattr(model, name, checkpoint_wrapper(child))
    return model


WRAPPERS = {
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "checkpointed": checkpointed,
    "replicated": Replicated,
    "compiled and replicated": lambda model: Replicated(torch.compile(model, backend="eager")),
    "replicated and compiled": lambda model: torch.compile(Replicated(model), backend="eager"),
}


def models(wrap, make=lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    plain = make().to(torch.bfloat16)
    return plain, wrap(copy.deepcopy(plain))


def train(optimizer, model: nn.Module, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
        optimizer.step()


def equal(model: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("make", [lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), Nested])
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_wrappers_change_neither_the_noise_nor_what_is_saved(wrap, make):
    plain, wrapped = models(wrap, make)
    names = [name for name, _ in plain.named_parameters()]
    assert [name for name, _ in wrapped.named_parameters()] != names
    ours, theirs = AdamW(plain.named_parameters()), AdamW([{"params": wrapped.named_parameters()}])
    train(ours, plain, range(3))
    train(theirs, wrapped, range(3))
    assert equal(plain, wrapped)
    assert theirs.state_dict()["param_groups"][0]["param_names"] == names


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_state_goes_on_in_and_out_of_a_wrapper(wrap):
    plain, wrapped = models(wrap)
    straight, _ = models(wrap)
    train(AdamW(straight.named_parameters()), straight, range(4))
    first = AdamW(plain.named_parameters())
    train(first, plain, range(2))
    for ours, theirs in zip(wrapped.parameters(), plain.parameters(), strict=True):
        ours.data.copy_(theirs)
    second = AdamW(wrapped.named_parameters())
    second.load_state_dict(first.state_dict())
    train(second, wrapped, range(2, 4))
    assert equal(straight, wrapped)
    first.load_state_dict(second.state_dict())
    assert first.state_dict()["param_groups"][0]["param_names"] == [name for name, _ in plain.named_parameters()]


def test_names_that_were_saved_with_a_wrapper_are_read_and_not_kept():
    plain, _ = models(WRAPPERS["compiled"])
    optimizer = AdamW(plain.named_parameters())
    train(optimizer, plain, range(1))
    saved, names = optimizer.state_dict(), [name for name, _ in plain.named_parameters()]
    saved["param_groups"][0]["param_names"] = [f"module._orig_mod.{name}" for name in names]
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["param_names"] == names
    saved["param_groups"][0]["param_names"][1] = "module.other"
    with pytest.raises(StateMismatchError, match=r"saved 'other', here '0\.bias'"):
        optimizer.load_state_dict(saved)


def test_several_optimizers_load_what_was_saved_without_a_wrapper():
    plain, wrapped = models(WRAPPERS["compiled"])

    def build(model):
        named = list(model.named_parameters())
        return MultiOptimizer({"adamw": AdamW(named[:2]), "torch": torch.optim.SGD(named[2:], lr=0.1, momentum=0.9)})

    first, second = build(plain), build(wrapped)
    train(first, plain, range(1))
    second.load_state_dict(first.state_dict())
    states = zip(first.state_dict()["state"].values(), second.state_dict()["state"].values(), strict=True)
    assert all(torch.equal(a[key], b[key]) for a, b in states for key in a if isinstance(a[key], torch.Tensor))


def test_a_part_of_the_model_that_is_called_module_keeps_its_name():
    model = Nested()
    optimizer = AdamW(
        [{"params": [("module.weight", model.module.weight)]}, {"params": [("head.w", model.head.weight)]}]
    )
    assert [group["param_names"] for group in optimizer.param_groups] == [["module.weight"], ["head.w"]]
    optimizer.add_param_group({"params": [("module.bias", model.module.bias)]})
    assert optimizer.param_groups[2]["param_names"] == ["module.bias"]
