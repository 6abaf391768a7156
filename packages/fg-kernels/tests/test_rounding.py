import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fg_kernels import reference
from fg_kernels.errors import OperandError
from fg_kernels.functional import sr_add_, sr_copy_
from fg_kernels.window import Window

KEY = {"seed": 3, "name": "w", "step": 5}


def rounded(values: torch.Tensor, **key) -> torch.Tensor:
    return sr_copy_(torch.empty_like(values, dtype=torch.bfloat16), values, **(KEY | key))


def bits(values: torch.Tensor) -> torch.Tensor:
    return values.view(torch.int16)


@pytest.mark.parametrize("value", [1.001, -3.1459, 1e-20, 6.1e4, -1.0 - 2**-20])
def test_unbiased_over_a_million_draws(value):
    count = 1_000_000
    exact = torch.tensor(value, dtype=torch.float32).item()
    draws = rounded(torch.full((count,), exact)).double()
    low, high = draws.min().item(), draws.max().item()
    assert low < exact < high
    sigma = math.sqrt((exact - low) * (high - exact) / count)
    assert abs(draws.mean().item() - exact) < 4 * sigma


def test_only_the_two_neighbours_are_produced():
    values = torch.randn(100_000) * torch.logspace(-30, 30, 100_000)
    result = rounded(values).double()
    below = (values.view(torch.int32) & -0x10000).view(torch.float32).double()
    above = ((values.view(torch.int32) & -0x10000) + 0x10000).view(torch.float32).double()
    assert torch.all((result == below) | (result == above))


def test_every_bf16_value_is_unchanged_bit_for_bit():
    every = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    finite_or_infinite = every[~every.isnan()]
    assert torch.equal(bits(rounded(finite_or_infinite.float())), bits(finite_or_infinite))


def test_nan_infinity_and_the_largest_numbers():
    patterns = torch.tensor([0x7F800001, 0x7FFFFFFF, -1, -0x7FFFFF], dtype=torch.int32)
    assert rounded(patterns.view(torch.float32).repeat(5000)).isnan().all()
    infinite = torch.tensor([math.inf, -math.inf]).repeat(5000)
    assert torch.equal(rounded(infinite).float(), infinite)
    largest = torch.full((10_000,), torch.finfo(torch.float32).max)
    assert torch.equal(rounded(largest), torch.full_like(largest, torch.finfo(torch.bfloat16).max).bfloat16())


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3000), st.data())
def test_any_split_of_a_parameter_gives_the_same_bits(count, data):
    values = torch.randn(count, generator=torch.Generator().manual_seed(count))
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=6)))
    edges = [0, *cuts, count]
    pieces = [rounded(values[a:b], window=Window(a)) for a, b in pairwise(edges)]
    assert torch.equal(bits(torch.cat(pieces)), bits(rounded(values)))


def test_parameters_larger_than_one_pass_agree_with_their_parts():
    values = torch.randn(200_000)
    assert torch.equal(rounded(values)[131_000:], rounded(values[131_000:], window=Window(131_000)))


def test_memory_layout_does_not_change_the_bits():
    values = torch.randn(37, 53)
    transposed = torch.empty(53, 37, dtype=torch.bfloat16).t()
    sr_copy_(transposed, values.t().contiguous().t(), **KEY)
    assert torch.equal(transposed, rounded(values))


def test_add_rounds_the_exact_sum_once():
    start, change = torch.randn(1000).bfloat16(), torch.randn(1000).bfloat16()
    total = sr_add_(start.clone(), change, alpha=-0.01, **KEY)
    assert torch.equal(total, rounded(start.float() - 0.01 * change.float()))


@pytest.mark.parametrize("add", [sr_add_, reference.sr_add_])
@pytest.mark.parametrize(
    ("dst", "src", "message"),
    [
        (torch.ones(4, 4).bfloat16(), torch.ones(4), r"dst \(4, 4\), src \(4,\)"),
        (torch.ones(4).bfloat16(), torch.ones(4, 4), r"dst \(4,\), src \(4, 4\)"),
        (torch.ones(4).bfloat16(), torch.ones(4).long(), "not torch.int64 to torch.bfloat16"),
        (torch.ones(4), torch.ones(4), "not torch.float32 to torch.float32"),
    ],
)
def test_what_cannot_be_added_is_refused_and_not_spread(add, dst, src, message):
    before = dst.clone()
    with pytest.raises(OperandError, match=message):
        add(dst, src, **KEY)
    assert torch.equal(dst, before)


def test_small_updates_survive():
    """200 steps of 1e-3 down from 1.0: nearest rounding never moves, since half a step of bf16 below 1 is 2**-9."""
    nearest = torch.ones(1000, dtype=torch.bfloat16)
    stochastic = nearest.clone()
    change = torch.full((1000,), -1e-3)
    for step in range(1, 201):
        nearest.add_(change)
        sr_add_(stochastic, change, seed=0, name="w", step=step)
    assert torch.equal(nearest, torch.ones_like(nearest))
    assert abs(stochastic.double().mean().item() - 0.8) < 1e-2 / 4


@pytest.mark.parametrize(
    ("dst", "src", "message"),
    [
        (torch.empty(3), torch.empty(3), "to torch.float32"),
        (torch.empty(3).bfloat16(), torch.empty(3).double(), "float64"),
        (torch.empty(3).bfloat16(), torch.empty(4), r"dst \(3,\), src \(4,\)"),
    ],
)
def test_operands_that_do_not_fit_are_refused(dst, src, message):
    with pytest.raises(OperandError, match=message):
        sr_copy_(dst, src, **KEY)
