import math

import pytest
import torch
from torch.optim._muon import _zeropower_via_newtonschulz

from fg_kernels._compat import newton_schulz
from fg_kernels.errors import OperandError, UnknownOptionError
from fg_kernels.optim import Muon
from fg_kernels.optim.muon import _iterate, orthogonalize

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
SHAPES = [(24, 40), (40, 24), (16, 16), (1, 30)]


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_iteration_is_torchs_to_the_bit(shape, dtype):
    """Ours, which other dtypes need, in bf16 as well: it is the same polynomial in the same order."""
    matrix = random(*shape).to(dtype)
    expected = _zeropower_via_newtonschulz(matrix.clone(), COEFFICIENTS, 5, 1e-7)
    assert torch.equal(newton_schulz(matrix, COEFFICIENTS, 5, 1e-7), expected)
    assert torch.equal(_iterate(matrix.to(torch.bfloat16, copy=True), COEFFICIENTS, 5, 1e-7), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_argument_is_left_as_it_was(dtype):
    matrix = random(8, 6).to(torch.bfloat16)
    before = matrix.clone()
    orthogonalize(matrix, coefficients=COEFFICIENTS, steps=5, eps=1e-7, dtype=dtype)
    assert torch.equal(matrix, before)


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_vectors_stay_and_singular_values_follow_the_polynomial(shape):
    matrix = random(*shape).double()
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    a, b, c = COEFFICIENTS
    values = values / matrix.norm()
    for _ in range(5):
        values = a * values + b * values**3 + c * values**5
    ours = orthogonalize(matrix, coefficients=COEFFICIENTS, steps=5, eps=1e-7, dtype=torch.float32)
    torch.testing.assert_close(ours.double(), left @ values.diag() @ right, rtol=0, atol=2e-4)


def test_the_first_update_worked_by_hand():
    """Momentum 0.5, Nesterov: the direction is 0.75 of the gradient; of rank one, it becomes 1 along (3, 4) / 5."""
    weight = torch.nn.Parameter(torch.ones(1, 2))
    weight.grad = torch.tensor([[3.0, 4.0]])
    optimizer = Muon([weight], lr=0.1, momentum=0.5, weight_decay=0.2, ns_coefficients=(1.5, -0.5, 0.0))
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([[0.98 - 0.06, 0.98 - 0.08]]), rtol=0, atol=1e-3)
    torch.testing.assert_close(optimizer.state[weight]["momentum_buffer"], torch.tensor([[1.5, 2.0]]))


@pytest.mark.parametrize(
    ("adjust", "ratio"), [(None, 2.0), ("original", 2.0), ("match_rms_adamw", 0.2 * math.sqrt(32))]
)
def test_the_rate_is_adjusted_to_the_shape(adjust, ratio):
    weight, gradient = torch.nn.Parameter(torch.zeros(32, 8)), random(32, 8)
    weight.grad = gradient.clone()
    Muon([weight], lr=0.1, momentum=0.0, nesterov=False, adjust_lr_fn=adjust).step()
    direction = newton_schulz(gradient, COEFFICIENTS, 5, 1e-7)
    torch.testing.assert_close(weight.detach(), -0.1 * ratio * direction.float(), rtol=1e-6, atol=1e-8)


def test_counting_on_the_device_with_a_rate_there_gives_the_same():
    def trained(**options):
        weight = torch.nn.Parameter(random(12, 20).to(torch.bfloat16))
        optimizer = Muon([("w", weight)], seed=3, **options)
        for step in range(4):
            weight.grad = random(12, 20, seed=step).to(torch.bfloat16)
            optimizer.step()
        return weight.detach(), optimizer.state[weight]

    (plain, _), (counted, state) = trained(lr=0.25), trained(lr=torch.tensor(0.25), capturable=True)
    assert state["step"].dtype == torch.int64 and state["step"].item() == 4
    assert torch.equal(plain, counted)


def test_a_gradient_of_zeros_changes_nothing_but_decays():
    weight = torch.nn.Parameter(torch.ones(4, 6))
    weight.grad = torch.zeros(4, 6)
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight.detach(), torch.full((4, 6), 0.95))


def test_options_that_do_not_exist_are_refused():
    weight = torch.nn.Parameter(torch.ones(4, 6))
    with pytest.raises(UnknownOptionError, match="adjust_lr_fn='moonshot'"):
        Muon([weight], adjust_lr_fn="moonshot")
    with pytest.raises(OperandError, match=r"ns_dtype=torch\.float16"):
        Muon([weight], ns_dtype=torch.float16)
