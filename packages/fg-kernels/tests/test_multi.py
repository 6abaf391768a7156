import copy
import logging
import pickle

import pytest
import torch
from torch import nn

from fg_kernels.errors import ParameterGroupError, StateMismatchError
from fg_kernels.optim import Adafactor, AdamW, MultiOptimizer, Muon, make_re_multiopt

MAP = [(r"embed|head|norm|bias", "adamw"), (r"\.weight$", "muon")]


class Tiny(nn.Module):
    """Embedding, hidden matrices, norm and head: one of each kind of parameter."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 16)
        self.up = nn.Linear(16, 32)
        self.down = nn.Linear(32, 16, bias=False)
        self.norm = nn.LayerNorm(16, bias=False)
        self.head = nn.Linear(16, 30, bias=False)

    def forward(self, ids):
        return self.head(self.norm(self.down(self.up(self.embed(ids)).relu())))


def model(dtype=torch.float32) -> Tiny:
    torch.manual_seed(0)
    return Tiny().to(dtype)


def factories(**kwargs):
    return {"adamw": lambda p: AdamW(p, lr=1e-2, **kwargs), "muon": lambda p: Muon(p, lr=1e-3, **kwargs)}


def give_gradients(module, step):
    generator = torch.Generator().manual_seed(step)
    ids = torch.randint(0, 30, (4, 9), generator=generator)
    module.zero_grad()
    nn.functional.cross_entropy(module(ids[:, :-1]).float().flatten(0, 1), ids[:, 1:].flatten()).backward()


def train(module, optimizer, steps, schedule=None):
    for step in steps:
        give_gradients(module, step)
        optimizer.step()
        if schedule is not None:
            schedule.step()


def assert_equal_bits(one, other):
    for (name, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name


def owners(optimizer):
    return {name: group["optimizer"] for group in optimizer.param_groups for name in group["param_names"]}


def test_the_first_match_wins():
    assert owners(make_re_multiopt(model().named_parameters(), MAP, factories())) == {
        "embed.weight": "adamw",
        "up.weight": "muon",
        "up.bias": "adamw",
        "down.weight": "muon",
        "norm.weight": "adamw",
        "head.weight": "adamw",
    }


def test_each_member_does_what_it_would_alone():
    together, alone = model(), model()
    train(together, make_re_multiopt(together.named_parameters(), MAP, factories()), range(4))
    named = dict(alone.named_parameters())
    hidden = [named["up.weight"], named["down.weight"]]
    rest = [p for p in named.values() if not any(p is h for h in hidden)]
    adamw, muon = AdamW(rest, lr=1e-2), Muon(hidden, lr=1e-3)
    for step in range(4):
        give_gradients(alone, step)
        adamw.step(), muon.step()
    assert_equal_bits(together, alone)


def test_schedules_scale_every_groups_own_rate():
    module = model()
    optimizer = make_re_multiopt(module.named_parameters(), MAP, factories())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    train(module, optimizer, range(3), schedule)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-2 / 4, 1e-3 / 4]
    assert optimizer.optimizers["muon"].param_groups[0]["lr"] == 1e-3 / 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_resumed_run_has_the_same_bits(dtype):
    def build(module):
        optimizer = make_re_multiopt(module.named_parameters(), MAP, factories())
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))

    straight, stopped = model(dtype), model(dtype)
    optimizer, schedule = build(straight)
    train(straight, optimizer, range(6), schedule)
    optimizer, schedule = build(stopped)
    train(stopped, optimizer, range(3), schedule)
    saved = copy.deepcopy((optimizer.state_dict(), schedule.state_dict()))
    resumed = copy.deepcopy(stopped)
    optimizer, schedule = build(resumed)
    optimizer.load_state_dict(saved[0])
    schedule.load_state_dict(saved[1])
    train(resumed, optimizer, range(3, 6), schedule)
    assert_equal_bits(straight, resumed)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-2 / 7, 1e-3 / 7], rel=1e-12)


def test_state_dict_has_torchs_form():
    module = model()
    optimizer = make_re_multiopt(module.named_parameters(), MAP, factories())
    train(module, optimizer, range(2))
    saved = optimizer.state_dict()
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    assert numbers == list(range(6)) and sorted(saved["state"]) == numbers
    names = [name for group in saved["param_groups"] for name in group["param_names"]]
    assert "momentum_buffer" in saved["state"][names.index("up.weight")]
    assert "exp_avg" in saved["state"][names.index("embed.weight")]


def test_one_parameter_at_a_time_gives_the_same_bits():
    one, other = model(torch.bfloat16), model(torch.bfloat16)
    train(one, make_re_multiopt(one.named_parameters(), MAP, factories()), range(3))
    optimizer = make_re_multiopt(other.named_parameters(), MAP, factories())
    for step in range(3):
        give_gradients(other, step)
        for parameter in other.parameters():
            optimizer.step_param(parameter)
    assert_equal_bits(one, other)


def test_updates_inside_the_backward_pass():
    one, other = model(), model()
    train(one, make_re_multiopt(one.named_parameters(), MAP, factories()), range(3))
    optimizer = make_re_multiopt(other.named_parameters(), MAP, factories())

    def update_and_free(parameter):
        optimizer.step_param(parameter)
        parameter.grad = None

    for parameter in other.parameters():
        parameter.register_post_accumulate_grad_hook(update_and_free)
    for step in range(3):
        give_gradients(other, step)
        assert all(parameter.grad is None for parameter in other.parameters())
    assert_equal_bits(one, other)


def test_torchs_own_optimizers_can_be_members():
    module = model()
    built = {"adamw": Adafactor, "muon": torch.optim.Muon}
    optimizer = make_re_multiopt(module.named_parameters(), MAP, built)
    before = copy.deepcopy(module)
    train(module, optimizer, range(1))
    assert not any(torch.equal(a, b) for a, b in zip(module.parameters(), before.parameters(), strict=True))
    give_gradients(module, 1)
    with pytest.raises(ParameterGroupError, match=r"'muon' \(torch\.optim\.Muon\) has no step_param"):
        optimizer.step_param(module.up.weight)


def test_zero_grad_and_closure():
    module = model()
    optimizer = make_re_multiopt(module.named_parameters(), MAP, factories())
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        give_gradients(module, 0)
        return 1.5

    assert optimizer.step(closure) == 1.5 and calls == [True]
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in module.parameters())


def test_unmatched_parameters_are_named():
    with pytest.raises(ParameterGroupError, match=r"2 parameters match no pattern .*: embed\.weight, head\.weight\."):
        make_re_multiopt(model().named_parameters(), [("norm|bias", "adamw"), ("up|down", "muon")], factories())


def test_frozen_parameters_and_empty_members_are_left_out(caplog):
    module = model()
    module.embed.weight.requires_grad_(False)
    with caplog.at_level(logging.INFO, logger="fg_kernels"):
        optimizer = make_re_multiopt(module.named_parameters(), [("nothing", "muon"), (".*", "adamw")], factories())
    assert list(optimizer.optimizers) == ["adamw"] and "embed.weight" not in owners(optimizer)
    assert "optimizer muon: 0 parameters, not built" in caplog.text


@pytest.mark.parametrize(
    ("optimizer_map", "message"),
    [
        ([(".*", "adam")], "did you mean 'adamw'"),
        ([(".*", "adamw")], r"factories \['muon'\] are named by no entry"),
        ([("(", "adamw"), (".*", "muon")], r"'\(' is not a regular expression"),
    ],
)
def test_maps_that_do_not_fit_the_factories_are_refused(optimizer_map, message):
    with pytest.raises(ParameterGroupError, match=message):
        make_re_multiopt(model().named_parameters(), optimizer_map, factories())


def test_shared_and_absent_parameters_are_refused():
    weight = nn.Parameter(torch.ones(3, 3))
    with pytest.raises(ParameterGroupError, match="'a' and 'b' share a parameter"):
        MultiOptimizer({"a": AdamW([weight]), "b": Muon([weight])})
    with pytest.raises(ParameterGroupError, match="at least one optimizer"):
        MultiOptimizer({})
    with pytest.raises(ParameterGroupError, match="not in this optimizer"):
        MultiOptimizer({"a": AdamW([weight])}).step_param(nn.Parameter(torch.ones(2)))


def test_a_group_that_no_member_would_update_is_refused():
    optimizer = make_re_multiopt(model().named_parameters(), MAP, factories())
    with pytest.raises(ParameterGroupError, match="takes no further groups"):
        optimizer.add_param_group({"params": [("late", nn.Parameter(torch.ones(2)))]})


def test_state_of_other_members_is_refused():
    saved = make_re_multiopt(model().named_parameters(), MAP, factories()).state_dict()
    other = make_re_multiopt(model().named_parameters(), [(".*", "adamw")], {"adamw": AdamW})
    with pytest.raises(StateMismatchError, match=r"\['adamw', 'muon'\], here they are \['adamw'\]"):
        other.load_state_dict(saved)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])  # noqa: S301
def test_a_copy_trains_as_the_original_would(copied):
    """A schedule wraps `step` of the original; the copy must not call that."""
    module = model(torch.bfloat16)
    optimizer = make_re_multiopt(module.named_parameters(), MAP, factories())
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    train(module, optimizer, range(2))
    other, other_optimizer = copied((module, optimizer))
    untouched = copy.deepcopy(module)
    train(other, other_optimizer, range(2, 4))
    assert_equal_bits(module, untouched)
    train(module, optimizer, range(2, 4))
    assert_equal_bits(module, other)
    other_optimizer.param_groups[0]["lr"] = 0.0
    name = other_optimizer.param_groups[0]["optimizer"]
    assert other_optimizer.optimizers[name].param_groups[0]["lr"] == 0.0
    give_gradients(other, 4)
    other_optimizer.step_param(other.head.weight)


def test_state_is_exposed_after_updates_of_single_parameters():
    module = model()
    optimizer = make_re_multiopt(module.named_parameters(), MAP, factories())
    give_gradients(module, 0)
    optimizer.step_param(module.up.weight)
    assert list(optimizer.state) == [module.up.weight]
    assert optimizer.state[module.up.weight] is optimizer.optimizers["muon"].state[module.up.weight]


def test_a_member_alone_is_copied_with_a_step_of_its_own():
    weight = nn.Parameter(torch.ones(3))
    optimizer = AdamW([("w", weight)], lr=0.1)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    other, other_weight = copy.deepcopy((optimizer, weight))
    other_weight.grad = torch.ones(3)
    other.step()
    assert (weight == 1).all() and (other_weight < 1).all()


def test_state_that_one_member_refuses_changes_none():
    module = model()
    optimizer = make_re_multiopt(module.named_parameters(), MAP, factories())
    train(module, optimizer, range(1))
    saved = copy.deepcopy(optimizer.state_dict())
    train(module, optimizer, range(1, 2))
    saved["param_groups"][1]["param_names"][0] = "left.weight"
    with pytest.raises(StateMismatchError, match=r"'muon'.*saved 'left\.weight', here 'up\.weight'"):
        optimizer.load_state_dict(saved)
    assert {state["step"] for state in optimizer.state.values()} == {2}
    saved["param_groups"][1]["param_names"].pop()
    saved["param_groups"][1]["params"].pop()
    with pytest.raises(StateMismatchError, match="'muon'"):
        optimizer.load_state_dict(saved)
