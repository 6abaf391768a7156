"""The three launches of Adafactor against its plain rule: they differ in the order of their sums only."""

import math
from collections import Counter
from functools import partial

import pytest
import torch

from fg_kernels.dispatch import use, which
from fg_kernels.errors import BackendError
from fg_kernels.optim import Adafactor
from fg_kernels.triton import adafactor, adafactor_fold

SHAPES = ((20, 600), (1, 8), (17,), (3, 5), (130, 24), (4, 3, 16), (8,), ())


def parameters(shapes=SHAPES, dtype=torch.bfloat16):
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
    return [(f"layers.{i}.weight", torch.nn.Parameter(value)) for i, value in enumerate(values)]


def drawn(shape, generator):
    return torch.randn(shape, generator=generator)


def powers_of_two(shape, generator):
    """Numbers whose squares and sums of squares are exact in fp32, in any order."""
    size = torch.exp2(torch.randint(-1, 2, shape, generator=generator).float())
    return size * (2 * torch.randint(0, 2, shape, generator=generator) - 1)


def give_gradients(named, step, draw=drawn, dtype=None):
    generator = torch.Generator().manual_seed(1000 + step)
    for _, parameter in named:
        parameter.grad = draw(parameter.shape, generator).to(dtype or parameter.dtype)


def trained(backend, shapes=SHAPES, dtype=torch.bfloat16, steps=2, draw=drawn, **options):
    named = parameters(shapes, dtype)
    optimizer = Adafactor(named, **{"lr": 1e-2, "seed": 3} | options)
    with use(backend):
        for step in range(steps):
            give_gradients(named, step, draw)
            optimizer.step()
    return named, optimizer


def differing(ours, others):
    """How many elements differ."""
    return sum((a != b).sum().item() for (_, a), (_, b) in zip(ours, others, strict=True))


def assert_equal(ours, others):
    for (name, a), (_, b) in zip(ours, others, strict=True):
        assert torch.equal(a, b), name


def assert_states_close(ours, others, tolerance=1e-6):
    for (a, x), (b, y) in zip(ours.state.items(), others.state.items(), strict=True):
        assert a.shape == b.shape and x.keys() == y.keys() and x["step"] == y["step"]
        for key in x.keys() - {"step"}:
            assert x[key].shape == y[key].shape
            torch.testing.assert_close(x[key], y[key], rtol=tolerance, atol=0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"clip_threshold": 0.3, "weight_decay": 0.3},
        {"clip_threshold": math.inf},
        {"rounding": "nearest"},
        {"relative_step": True, "lr": 0.3},
        {"capturable": True},
    ],
    ids=str,
)
def test_bf16_parameters_get_the_bits_of_the_plain_rule(options):
    """Sums in another order move the fp32 result by 1e-7: rounding makes of that a different bf16 once in 1e4."""
    ours, kernels = trained("interpret", **options)
    plain, rule = trained("reference", **options)
    assert which("adafactor", ours[0][1], backend="interpret").backend == "interpret"
    assert_states_close(kernels, rule)
    assert differing(ours, plain) <= 3 + 20 * ("relative_step" in options)


def test_fp32_parameters_follow_the_plain_rule():
    ours, kernels = trained("interpret", dtype=torch.float32)
    plain, rule = trained("reference", dtype=torch.float32)
    assert_states_close(kernels, rule)
    for (_, a), (_, b) in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_exact_sums_give_equal_bits(dtype):
    """In the first update, of squares of powers of two; without a threshold no other sum is taken."""
    options = {"dtype": dtype, "steps": 1, "draw": powers_of_two, "clip_threshold": math.inf}
    shapes = ((64, 1024), (16, 8), (32,))
    assert_equal(trained("interpret", shapes, **options)[0], trained("reference", shapes, **options)[0])


def test_a_matrix_is_updated_like_its_transpose_is():
    """Rows and columns play the same part, though rows are added in programs and columns across them."""
    wide, wide_rule = trained("interpret", ((24, 80),), torch.float32)
    named = [("layers.0.weight", torch.nn.Parameter(parameters(((24, 80),), torch.float32)[0][1].detach().t()))]
    tall = [(name, torch.nn.Parameter(p.detach().contiguous())) for name, p in named]
    optimizer = Adafactor(tall, lr=1e-2)
    with use("interpret"):
        for step in range(2):
            generator = torch.Generator().manual_seed(1000 + step)
            tall[0][1].grad = torch.randn(24, 80, generator=generator).t().contiguous()
            optimizer.step()
    torch.testing.assert_close(tall[0][1].t(), wide[0][1], rtol=1e-6, atol=1e-6)
    ours, theirs = optimizer.state[tall[0][1]], wide_rule.state[wide[0][1]]
    torch.testing.assert_close(ours["exp_avg_sq_col"], theirs["exp_avg_sq_row"], rtol=1e-6, atol=0)


def test_bf16_parameters_with_fp32_gradients():
    shapes = ((20, 40), (24,))
    results = []
    for backend in ("interpret", "reference"):
        named = parameters(shapes)
        optimizer = Adafactor(named, lr=1e-2)
        with use(backend):
            for _, parameter in named:
                parameter.grad_dtype = torch.float32
            give_gradients(named, 0, dtype=torch.float32)
            optimizer.step()
        results.append(named)
    assert differing(*results) <= 1


def test_one_parameter_at_a_time_gives_the_same_bits():
    together, _ = trained("interpret")
    single = parameters()
    optimizer = Adafactor(single, lr=1e-2, seed=3)
    with use("interpret"):
        for step in range(2):
            give_gradients(single, step)
            for _, parameter in reversed(single):
                optimizer.step_param(parameter)
    assert_equal(together, single)


def by_plan(monkeypatch, few, enough):
    """Let bands be divided if there are fewer than `few`; return the names of what is launched from now on."""
    launched, launch, update = [], adafactor.launch_on, adafactor.adafactor_

    def counting(like, kernel, grid, *arguments, **keywords):
        launched.append((kernel.__name__, *grid))
        launch(like, kernel, grid, *arguments, **keywords)

    for module in (adafactor, adafactor_fold):
        monkeypatch.setattr(module, "launch_on", counting)
    monkeypatch.setattr(adafactor, "adafactor_", partial(update, few=few, enough=enough))
    return launched


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("enough", [8, 1000])
def test_bands_give_the_same_bits_whole_and_divided(monkeypatch, dtype, enough):
    """Two bands, the last of one cell, in four or 64 parts; two chunks of columns; shapes that are no multiples."""
    shapes = ((513, 8), (20, 5), (9, 600), (8,))
    with monkeypatch.context() as patch:
        launched = by_plan(patch, few=1, enough=enough)
        whole, rule = trained("interpret", shapes, dtype, steps=1)
        assert {kernel for kernel, *_ in launched} == {"adafactor_sums", "adafactor_norms", "adafactor_apply"}
    launched = by_plan(monkeypatch, few=1000, enough=enough)
    divided, other = trained("interpret", shapes, dtype, steps=1)
    assert "adafactor_fold" in {kernel for kernel, *_ in launched}
    assert_equal(whole, divided)
    assert_states_close(rule, other, tolerance=0)
    plain, _ = trained("reference", shapes, dtype, steps=1)
    for (_, a), (_, b) in zip(divided, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6 if dtype == torch.float32 else 2**-7, atol=1e-6)


def test_a_matrix_alone_gets_programs_of_its_own_and_the_bits_that_it_gets_among_others(monkeypatch):
    """Together there are enough bands, alone there are not."""
    shapes = ((120, 600), (520, 24), (40, 16))
    launched = by_plan(monkeypatch, few=5, enough=100)
    together, _ = trained("interpret", shapes, steps=1)
    assert [kernel for kernel, *_ in launched] == ["adafactor_sums", "adafactor_norms", "adafactor_apply"]
    single = parameters(shapes)
    optimizer = Adafactor(single, lr=1e-2, seed=3)
    give_gradients(single, 0)
    launched.clear()
    optimizer.step_param(single[0][1])
    assert launched[:3] == [("adafactor_sums", 2 * 15), ("adafactor_fold", 2), ("adafactor_norms", 2 * 15)]
    for _, parameter in single[1:]:
        optimizer.step_param(parameter)
    assert_equal(together, single)


def test_a_run_repeats_bit_for_bit():
    first, second = (trained("interpret", SHAPES[1:4], torch.float32)[0] for _ in range(2))
    assert_equal(first, second)


def test_kernels_and_plain_rule_can_take_turns():
    named, optimizer = trained("interpret", steps=1)
    with use("reference"):
        give_gradients(named, 1)
        optimizer.step()
    assert differing(named, trained("reference")[0]) <= 3


def test_three_launches_for_all_tensors(monkeypatch):
    launched = Counter()
    launch = adafactor.launch_on

    def counting(like, kernel, *arguments, **keywords):
        launched[kernel.__name__] += 1
        launch(like, kernel, *arguments, **keywords)

    monkeypatch.setattr(adafactor, "launch_on", counting)
    monkeypatch.setattr(adafactor, "adafactor_", partial(adafactor.adafactor_, few=3))
    trained("interpret", ((16, 8), (40, 24), (8,), (2, 3, 8)), steps=1)
    assert launched == {"adafactor_sums": 1, "adafactor_norms": 1, "adafactor_apply": 1}


def test_nan_gradients_make_their_own_parameter_nan():
    named = parameters(((4, 16), (24,), (8, 8)))
    give_gradients(named, 0)
    named[0][1].grad[1, 2] = math.nan
    named[1][1].grad[3] = math.nan
    with use("interpret"):
        Adafactor(named).step()
    assert [bool(p.isnan().all()) for _, p in named] == [True, True, False]
    assert not named[2][1].isnan().any()


def test_empty_tensors_are_harmless():
    shapes = ((0, 8), (4, 0), (0,), (8, 8))
    ours, _ = trained("interpret", shapes)
    assert_equal(ours[3:], trained("interpret", shapes)[0][3:])
    assert differing(ours, trained("reference", shapes)[0]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: {"first_moment": True}, "first_moment is on"),
        (lambda p: p.__setattr__("grad", torch.ones(8, 4, dtype=p.dtype).t()) or {}, "it is not contiguous"),
    ],
)
def test_kernels_that_are_insisted_on_say_what_they_cannot_do(change, message):
    weight = torch.nn.Parameter(torch.ones(4, 8))
    weight.grad = torch.ones_like(weight)
    before = weight.detach().clone()
    optimizer = Adafactor([("w", weight)], fused=True, **change(weight))
    with pytest.raises(BackendError, match=rf"'w' cannot be updated by kernels: {message}"):
        optimizer.step()
    assert torch.equal(weight, before) and not optimizer.state[weight]
