import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fg_kernels.errors import HyperparameterError
from fg_kernels.optim.sinkgd import SinkGD, balance


def updated(value, gradient, **options):
    parameter = torch.nn.Parameter(value.clone())
    parameter.grad = gradient.clone()
    optimizer = SinkGD([parameter], **options)
    optimizer.step()
    return parameter.detach(), optimizer


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_one_iteration_worked_by_hand():
    """Rows (3, 4) and (0, 2) of lengths 5 and 2 get sqrt(2); then the columns, of squares .72 and 3.28, too."""
    gradient = torch.tensor([[3.0, 4.0], [0.0, 2.0]], dtype=torch.float64)
    result, _ = updated(torch.zeros_like(gradient), gradient, lr=0.1, num_iters=1, normalize_output=False)
    rows = [[0.6 * math.sqrt(2), 0.8 * math.sqrt(2)], [0.0, math.sqrt(2)]]
    columns = [math.sqrt(0.72), math.sqrt(1.28 + 2.0)]
    expected = [[-0.1 * x * math.sqrt(2) / c for x, c in zip(row, columns, strict=True)] for row in rows]
    torch.testing.assert_close(result, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-15)


@settings(deadline=None, max_examples=25)
@given(rows=st.integers(2, 12), columns=st.integers(2, 12), seed=st.integers(0, 1000))
def test_rows_and_columns_become_equally_long(rows, columns, seed):
    """Squares between 1 and 4 times another: Sinkhorn's iteration converges fast."""
    generator = torch.Generator().manual_seed(seed)
    matrix = 1 + torch.rand(rows, columns, generator=generator, dtype=torch.float64)
    matrix *= torch.randint(0, 2, matrix.shape, generator=generator) * 2 - 1
    balanced = balance(matrix, 60, 0.0)
    torch.testing.assert_close(balanced.square().mean(dim=1), torch.ones(rows).double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(balanced.square().mean(dim=0), torch.ones(columns).double(), rtol=1e-12, atol=0)
    assert torch.equal(balanced.sign(), matrix.sign())


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3))
def test_the_length_of_the_gradient_does_not_matter(seed, scale):
    gradient = random(5, 8, seed=seed)
    torch.testing.assert_close(balance(gradient, 5, 1e-8), balance(scale * gradient, 5, 1e-8), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("shape", "length"), [((6, 10), 1.0), ((10, 6), 1.0), ((3, 2, 5), 1.0), ((7,), 1.0)])
def test_a_normalized_update_has_length_lr(shape, length):
    value = random(*shape)
    result, _ = updated(value, random(*shape, seed=1), lr=0.25)
    torch.testing.assert_close((result - value).norm().item(), 0.25 * length, rtol=1e-9, atol=0)


def test_without_normalization_elements_have_mean_square_one():
    result, _ = updated(torch.zeros(6, 10).double(), random(6, 10), lr=1.0, normalize_output=False)
    torch.testing.assert_close(result.square().mean().item(), 1.0, rtol=1e-12, atol=0)


def test_vectors_are_divided_by_their_length_and_scalars_taken_as_they_are():
    vector, _ = updated(torch.zeros(2).double(), torch.tensor([3.0, -4.0]).double(), lr=1.0)
    torch.testing.assert_close(vector, torch.tensor([-0.6, 0.8]).double())
    scalar, _ = updated(torch.tensor(1.0).double(), torch.tensor(3.0).double(), lr=0.1, weight_decay=0.5)
    torch.testing.assert_close(scalar.item(), 1.0 * (1 - 0.05) - 0.3)


def test_weight_decay_is_decoupled():
    value, gradient = random(4, 5), random(4, 5, seed=1)
    plain, _ = updated(value, gradient, lr=0.1)
    decayed, _ = updated(value, gradient, lr=0.1, weight_decay=0.2)
    torch.testing.assert_close(decayed, plain - 0.1 * 0.2 * value, rtol=1e-12, atol=1e-15)


def test_leading_dimensions_are_folded_into_the_rows():
    cube, _ = updated(random(3, 4, 5), random(3, 4, 5, seed=1))
    matrix, _ = updated(random(3, 4, 5).view(12, 5), random(3, 4, 5, seed=1).view(12, 5))
    assert torch.equal(cube.view(12, 5), matrix)


def test_zero_rows_and_gradients_stay_zero():
    gradient = random(4, 5)
    gradient[1] = 0
    result, _ = updated(torch.zeros(4, 5).double(), gradient)
    assert result.isfinite().all() and (result[1] == 0).all() and (result[0] != 0).all()
    nothing, _ = updated(torch.ones(4, 5).double(), torch.zeros(4, 5).double())
    assert torch.equal(nothing, torch.ones(4, 5).double())
    empty, _ = updated(torch.ones(0, 5), torch.zeros(0, 5))
    assert empty.shape == (0, 5)


def test_the_state_is_the_number_of_updates():
    _, optimizer = updated(random(4, 5), random(4, 5, seed=1))
    assert list(optimizer.state_dict()["state"][0].items()) == [("step", 1)]


@pytest.mark.parametrize("option", ["num_iters", "weight_decay", "eps", "lr"])
def test_negative_numbers_are_refused(option):
    with pytest.raises(HyperparameterError, match=f"{option}=-1"):
        SinkGD([torch.nn.Parameter(torch.ones(2))], **{option: -1})
