import copy
import math
from itertools import pairwise

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from fg_kernels.errors import (
    HyperparameterError,
    OperandError,
    ParameterGroupError,
    StateMismatchError,
    UnknownOptionError,
)
from fg_kernels.functional import sr_copy_
from fg_kernels.optim import Adafactor, AdamW, Apollo, Muon, SinkGD

SHAPES = ((24, 40), (40, 24), (17,))
OURS = [AdamW, Adafactor, Apollo, Muon, SinkGD]


def parameters(dtype=torch.float32, shapes=SHAPES) -> list[tuple[str, torch.nn.Parameter]]:
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    return [(f"layers.{i}.weight", torch.nn.Parameter(value)) for i, value in enumerate(values)]


def matrices_of(kind, named):
    return [(name, p) for name, p in named if p.ndim == 2 or kind is not Muon]


def give_gradients(named, step: int) -> None:
    generator = torch.Generator().manual_seed(1000 + step)
    for _, parameter in named:
        gradient = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.grad = gradient.to(parameter.dtype)


def train(optimizer, named, steps: range) -> None:
    for step in steps:
        give_gradients(named, step)
        optimizer.step()


def assert_equal_bits(named, others) -> None:
    for (name, ours), (_, theirs) in zip(named, others, strict=True):
        assert torch.equal(ours, theirs), name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_adamw_is_torchs(dtype, tolerance):
    ours, theirs = parameters(dtype), parameters(dtype)
    options = {"lr": 1e-2, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}
    train(AdamW(ours, **options), ours, range(20))
    train(torch.optim.AdamW(theirs, **options), theirs, range(20))
    for (_, a), (_, b) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_adafactor_is_transformers():
    transformers = pytest.importorskip("transformers")
    ours, theirs = parameters(), parameters()
    train(Adafactor(ours, lr=1e-2, weight_decay=0.1), ours, range(20))
    options = {"relative_step": False, "scale_parameter": False, "weight_decay": 0.1}
    other = transformers.Adafactor([p for _, p in theirs], lr=1e-2, **options)
    train(other, theirs, range(20))
    for (_, a), (_, b) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_adafactor_with_relative_step_is_torchs():
    ours, theirs = parameters(torch.float64), parameters(torch.float64)
    train(Adafactor(ours, lr=0.3, relative_step=True, weight_decay=0.0), ours, range(30))
    train(torch.optim.Adafactor(theirs, lr=0.3, eps=(1e-30, 1e-3), weight_decay=0.0), theirs, range(30))
    for (_, a), (_, b) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_adafactor_with_a_first_moment_is_transformers():
    transformers = pytest.importorskip("transformers")
    ours, theirs = parameters(), parameters()
    train(Adafactor(ours, lr=1e-2, betas=(0.8, 0.999), weight_decay=0.0, first_moment=True), ours, range(5))
    options = {"relative_step": False, "scale_parameter": False, "beta1": 0.8}
    train(transformers.Adafactor([p for _, p in theirs], lr=1e-2, **options), theirs, range(5))
    for (_, a), (_, b) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_adafactors_first_update_worked_by_hand():
    """Squares [[1, 4], [9, 16]]: rows mean 2.5, 12.5 (mean 7.5), columns mean 5, 10."""
    weight = torch.nn.Parameter(torch.zeros(2, 2, dtype=torch.float64))
    weight.grad = torch.tensor([[1.0, -2.0], [3.0, 4.0]], dtype=torch.float64)
    Adafactor([weight], lr=0.1, clip_threshold=math.inf).step()
    second = [[2.5 * 5 / 7.5, 2.5 * 10 / 7.5], [12.5 * 5 / 7.5, 12.5 * 10 / 7.5]]
    expected = [
        [-0.1 * g / math.sqrt(v) for g, v in zip(*rows, strict=True)]
        for rows in zip(weight.grad.tolist(), second, strict=True)
    ]
    torch.testing.assert_close(weight.detach(), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


def test_adafactor_clips_the_root_mean_square_of_an_update():
    weight = torch.nn.Parameter(torch.zeros(1000, dtype=torch.float64))
    optimizer = Adafactor([weight], lr=0.1, clip_threshold=0.5, weight_decay=0.0)
    weight.grad = torch.randn(1000, dtype=torch.float64)
    optimizer.step()
    torch.testing.assert_close(weight.detach().square().mean().sqrt().item(), 0.05, rtol=1e-9, atol=0)


def test_adafactor_folds_leading_dimensions_and_keeps_little_state():
    cube, matrix = parameters(shapes=((6, 4, 10),)), parameters(shapes=((24, 10),))
    optimizer = Adafactor(cube)
    train(optimizer, cube, range(3))
    train(Adafactor(matrix), matrix, range(3))
    assert torch.equal(cube[0][1].view(24, 10), matrix[0][1])
    state = optimizer.state[cube[0][1]]
    assert sum(value.numel() for value in state.values() if isinstance(value, torch.Tensor)) == 24 + 10


@pytest.mark.parametrize("adjust", [None, "original", "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_is_torchs(adjust, nesterov):
    ours, theirs = parameters(shapes=SHAPES[:2]), parameters(shapes=SHAPES[:2])
    options = {"lr": 1e-2, "adjust_lr_fn": adjust, "nesterov": nesterov}
    train(Muon(ours, **options), ours, range(5))
    train(torch.optim.Muon(theirs, **options), theirs, range(5))
    assert_equal_bits(ours, theirs)


def test_muon_in_fp32_products_moves_singular_values_towards_one():
    weight = torch.nn.Parameter(torch.zeros(64, 96))
    weight.grad = torch.randn(64, 96, generator=torch.Generator().manual_seed(0))
    Muon([weight], lr=1.0, weight_decay=0.0, ns_dtype=torch.float32).step()
    singular = torch.linalg.svdvals(weight.detach())
    assert singular.min() > 0.6 and singular.max() < 1.3


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_parameter_at_a_time_gives_the_same_bits(kind, dtype):
    ours, others = (matrices_of(kind, parameters(dtype)) for _ in range(2))
    train(kind(ours), ours, range(5))
    optimizer = kind(others)
    for step in range(5):
        give_gradients(others, step)
        for _, parameter in reversed(others):
            optimizer.step_param(parameter)
    assert_equal_bits(ours, others)


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_resumed_run_has_the_same_bits(kind, dtype):
    straight, stopped = (matrices_of(kind, parameters(dtype)) for _ in range(2))
    train(kind(straight, seed=5), straight, range(8))
    first = kind(stopped, seed=5)
    train(first, stopped, range(4))
    saved = copy.deepcopy(first.state_dict())
    resumed = [(name, torch.nn.Parameter(p.detach().clone())) for name, p in stopped]
    second = kind(resumed)
    second.load_state_dict(saved)
    train(second, resumed, range(4, 8))
    assert_equal_bits(straight, resumed)


@pytest.mark.parametrize("kind", OURS)
def test_state_survives_the_round_trip_exactly(kind):
    named = matrices_of(kind, parameters(torch.bfloat16))
    optimizer = kind(named)
    train(optimizer, named, range(3))
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["param_names"] == [name for name, _ in named]
    other = kind(matrices_of(kind, parameters(torch.bfloat16)))
    other.load_state_dict(saved)
    for key, state in saved["state"].items():
        loaded = other.state_dict()["state"][key]
        assert state["step"] == loaded["step"] == 3
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                assert value.dtype == torch.float32
                assert torch.equal(value, loaded[name]) and value is not loaded[name]


@pytest.mark.parametrize("kind", OURS)
def test_bf16_weights_are_the_fp32_update_rounded_once(kind):
    """Also pins that weight decay happens before the rounding, not as a rounding of its own."""
    half = matrices_of(kind, parameters(torch.bfloat16))
    full = [(name, torch.nn.Parameter(p.detach().float())) for name, p in half]
    options = {"lr": 1e-2, "weight_decay": 0.3}
    optimizer, exact = kind(half, **options, seed=9), kind(full, **options, seed=9)
    give_gradients(half, 0)
    for (_, h), (_, f) in zip(half, full, strict=True):
        f.grad = h.grad.float()
    optimizer.step(), exact.step()
    for (name, h), (_, f) in zip(half, full, strict=True):
        expected = sr_copy_(torch.empty_like(h), f.detach(), seed=9, name=name, step=1)
        assert torch.equal(h, expected)


@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
def test_bf16_weights_move_only_with_stochastic_rounding(rounding):
    """Adam's first updates are `lr`: 200 of 1e-3 down from 1.0, each below half a step of bf16."""
    weight = torch.nn.Parameter(torch.ones(2000, dtype=torch.bfloat16))
    optimizer = AdamW([weight], lr=1e-3, eps=0.0, weight_decay=0.0, rounding=rounding)
    for _ in range(200):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    mean = weight.double().mean().item()
    assert mean == 1.0 if rounding == "nearest" else abs(mean - 0.8) < 1e-2


def test_tiny_weight_decay_is_not_lost():
    """lr * decay = 1e-4 rounds to nothing in bf16; in expectation 300 updates must leave 0.9999**300 of the weight."""
    weight = torch.nn.Parameter(torch.ones(20_000, dtype=torch.bfloat16))
    optimizer = AdamW([weight], lr=1e-2, weight_decay=1e-2)
    for _ in range(300):
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    assert abs(weight.double().mean().item() - 0.9999**300) < 1e-3


def test_noise_is_keyed_by_name_and_not_by_order():
    ours, others = parameters(torch.bfloat16), parameters(torch.bfloat16)
    train(AdamW(ours), ours, range(3))
    optimizer = AdamW(list(reversed(others)))
    train(optimizer, others, range(3))
    assert_equal_bits(ours, others)


def test_unnamed_parameters_are_called_by_position():
    ours, others = parameters(torch.bfloat16), parameters(torch.bfloat16)
    train(AdamW([p for _, p in ours]), ours, range(2))
    train(AdamW([(f"param.{i}", p) for i, (_, p) in enumerate(others)]), others, range(2))
    assert_equal_bits(ours, others)


def test_seed_changes_the_bits_of_bf16_weights_only():
    for dtype, equal in ((torch.bfloat16, False), (torch.float32, True)):
        ours, others = parameters(dtype), parameters(dtype)
        train(AdamW(ours, seed=0), ours, range(2))
        train(AdamW(others, seed=1), others, range(2))
        assert all(torch.equal(a, b) for (_, a), (_, b) in zip(ours, others, strict=True)) is equal


def test_bf16_moments_follow_fp32_moments():
    fine, coarse = parameters(torch.bfloat16), parameters(torch.bfloat16)
    optimizer = AdamW(coarse, state_dtype=torch.bfloat16)
    train(AdamW(fine), fine, range(50))
    train(optimizer, coarse, range(50))
    assert {state["exp_avg_sq"].dtype for state in optimizer.state.values()} == {torch.bfloat16}
    for (_, a), (_, b) in zip(fine, coarse, strict=True):
        assert (a.float() - b.float()).norm() / a.float().norm() < 5e-3


def test_learning_rate_schedules_and_groups():
    named = parameters()
    optimizer = AdamW([{"params": named[:2]}, {"params": named[2:], "lr": 1e-2, "weight_decay": 0.0}])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    rates = []
    for step in range(3):
        train(optimizer, named, range(step, step + 1))
        schedule.step()
        rates.append([group["lr"] for group in optimizer.param_groups])
    assert rates[0] == [5e-4, 5e-3]
    assert all(a[0] == 2 * b[0] for a, b in pairwise(rates))


def test_a_closure_is_evaluated_with_gradients():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = AdamW([weight])

    def closure():
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3.0
    assert weight.detach().max() < 1.0


def test_saved_state_of_other_parameters_is_refused():
    saved = AdamW(parameters()).state_dict()
    other = AdamW([(f"other.{i}", p) for i, (_, p) in enumerate(parameters())])
    with pytest.raises(StateMismatchError, match=r"position 0: saved 'layers\.0\.weight', here 'other\.0'"):
        other.load_state_dict(saved)


def test_hooks_of_loading_change_what_is_restored_and_see_it():
    named = parameters(torch.bfloat16)
    saved = AdamW(named)
    train(saved, named, range(1))
    optimizer, seen = AdamW(named), []

    def renewed(_, state_dict):
        state = {
            key: value | {"exp_avg": torch.full_like(value["exp_avg"], 7.0)}
            for key, value in state_dict["state"].items()
        }
        return state_dict | {"state": state}

    optimizer.register_load_state_dict_pre_hook(renewed)
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append(o.state[named[0][1]]["exp_avg"]))
    optimizer.load_state_dict(saved.state_dict())
    assert seen[0].equal(torch.full(SHAPES[0], 7.0)) and seen[0].dtype == torch.float32
    optimizer.load_state_dict(saved.state_dict())
    assert len(seen) == 2


def test_what_torchs_adamw_saved_is_continued_in_bf16():
    ours, theirs = parameters(torch.bfloat16), parameters(torch.bfloat16)
    optimizer, torchs = AdamW(ours, rounding="nearest", seed=5), torch.optim.AdamW([p for _, p in theirs], lr=0.5)
    train(torchs, theirs, range(2))
    optimizer.load_state_dict(torchs.state_dict())
    for (_, parameter), (_, their) in zip(ours, theirs, strict=True):
        parameter.data.copy_(their.detach())
    train(optimizer, ours, range(2, 3))
    train(torchs, theirs, range(2, 3))
    assert {key: optimizer.param_groups[0][key] for key in ("lr", "rounding", "seed")} == {
        "lr": 0.5,
        "rounding": "nearest",
        "seed": 5,
    }
    for (_, parameter), (_, their) in zip(ours, theirs, strict=True):
        assert (parameter - their).abs().max() < 0.05


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rounding": "stochastik"}, UnknownOptionError, "Did you mean 'stochastic'"),
        ({"lr": -1.0}, HyperparameterError, r"lr=-1\.0"),
        ({"lr": math.nan}, HyperparameterError, "lr=nan"),
        ({"betas": (0.9, 1.0)}, HyperparameterError, r"betas\[1\]=1\.0"),
        ({"weight_decay": -0.1}, HyperparameterError, "weight_decay"),
        ({"state_dtype": torch.float16}, OperandError, "valid: torch.float32, torch.bfloat16"),
    ],
)
def test_arguments_out_of_range_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        AdamW(parameters(), **options)


@pytest.mark.parametrize("old", ["torch_compile", "bf16_stochastic_round", "use_triton"])
def test_old_keywords_are_unknown_to_the_classes(old):
    for kind in (AdamW, Adafactor):
        with pytest.raises(TypeError, match=old):
            kind(parameters(), **{old: True})


def test_parameters_that_cannot_be_trained_are_refused():
    half = torch.nn.Parameter(torch.ones(3, dtype=torch.float16))
    with pytest.raises(OperandError, match="set rounding='nearest'"):
        AdamW([("w", half)])
    AdamW([("w", half)], rounding="nearest")
    with pytest.raises(ParameterGroupError, match="two parameters are named 'w'"):
        AdamW([("w", torch.nn.Parameter(torch.ones(3))), ("w", torch.nn.Parameter(torch.ones(3)))])
    with pytest.raises(OperandError, match=r"'norm' has shape \(3,\)"):
        Muon([("norm", torch.nn.Parameter(torch.ones(3)))])


@pytest.mark.parametrize(
    ("kind", "group", "error"),
    [
        (
            AdamW,
            {"params": [("layers.9", torch.nn.Parameter(torch.ones(3, 3, dtype=torch.int32), False))]},
            OperandError,
        ),
        (AdamW, {"params": [("layers.1.weight", torch.nn.Parameter(torch.ones(3)))]}, ParameterGroupError),
        (AdamW, {"params": [("b", torch.nn.Parameter(torch.ones(3)))], "lr": -1.0}, HyperparameterError),
        (Muon, {"params": [("b", torch.nn.Parameter(torch.ones(3)))]}, OperandError),
    ],
)
def test_a_group_that_is_refused_leaves_the_optimizer_as_it_was(kind, group, error):
    ours, theirs = parameters(shapes=SHAPES[:2]), parameters(shapes=SHAPES[:2])
    optimizer = kind(ours)
    with pytest.raises(error):
        optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1
    added = [("late", torch.nn.Parameter(torch.ones(4, 4)))], [("late", torch.nn.Parameter(torch.ones(4, 4)))]
    optimizer.add_param_group({"params": added[0]})
    train(optimizer, ours + added[0], range(2))
    train(kind([{"params": theirs}, {"params": added[1]}]), theirs + added[1], range(2))
    assert_equal_bits(ours + added[0], theirs + added[1])


def test_step_param_of_a_stranger_or_without_gradient():
    named = parameters()
    optimizer = AdamW(named)
    with pytest.raises(ParameterGroupError, match=r"shape \(3,\) is not in this optimizer"):
        optimizer.step_param(torch.nn.Parameter(torch.ones(3)))
    with pytest.raises(OperandError, match=r"'layers\.0\.weight' has no gradient"):
        optimizer.step_param(named[0][1])


@pytest.fixture
def mesh():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.mark.parametrize("kind", OURS)
def test_sharded_parameters(kind, mesh):
    def shard(values):
        return distribute_tensor(values, mesh, [Shard(0)])

    plain = matrices_of(kind, parameters())
    sharded = [(name, torch.nn.Parameter(shard(p.detach().clone()))) for name, p in plain]
    give_gradients(plain, 0)
    for (_, s), (_, p) in zip(sharded, plain, strict=True):
        s.grad = shard(p.grad)
    kind(plain).step(), kind(sharded).step()
    for (_, s), (_, p) in zip(sharded, plain, strict=True):
        torch.testing.assert_close(s.detach().full_tensor(), p.detach())


@pytest.mark.parametrize("kind", OURS)
def test_sharded_bf16_parameters_get_the_bits_of_whole_ones(kind, mesh):
    plain = matrices_of(kind, parameters(torch.bfloat16))
    sharded = [(name, torch.nn.Parameter(distribute_tensor(p.detach().clone(), mesh, [Shard(0)]))) for name, p in plain]
    give_gradients(plain, 0)
    for (_, s), (_, p) in zip(sharded, plain, strict=True):
        s.grad = distribute_tensor(p.grad, mesh, [Shard(0)])
    kind(plain).step(), kind(sharded).step()
    for (_, s), (_, p) in zip(sharded, plain, strict=True):
        assert torch.equal(s.detach().full_tensor(), p.detach())


def test_a_rate_that_yaml_reads_as_text_is_named():
    parameter = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(HyperparameterError, match=r"'1e-3'.*1\.0e-3"):
        AdamW([parameter], lr="1e-3")
