from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from fg_kernels.errors import HyperparameterError, OperandError, UnknownOptionError
from fg_kernels.functional import linear_cross_entropy

ROW_MIB = 2 * 8 / (1 << 20)  # two fp64 buffers per row and class


def plain_losses(x, weight, target, bias, *, softcap=None, z_loss=0.0, label_smoothing=0.0, logit_scale=1.0):
    """The definition, one loss per target, over full logits."""
    logits = F.linear(x, weight, bias) * logit_scale
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    flat, classes = logits.flatten(0, -2), target.flatten()
    losses = F.cross_entropy(flat, classes, reduction="none", label_smoothing=label_smoothing)
    return losses + torch.where(classes == -100, 0.0, z_loss * flat.logsumexp(-1) ** 2)


def operands(tokens=(4, 33), hidden=16, vocabulary=61, *, masked=0.2, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*tokens, hidden, generator=generator, dtype=torch.float64).to(dtype)
    weight = (torch.randn(vocabulary, hidden, generator=generator, dtype=torch.float64) * hidden**-0.5).to(dtype)
    bias = torch.randn(vocabulary, generator=generator, dtype=torch.float64).to(dtype)
    target = torch.randint(0, vocabulary, tokens, generator=generator)
    target[torch.rand(tokens, generator=generator) < masked] = -100
    return x, weight, bias, target


def value_and_gradients(loss: Callable[..., torch.Tensor], *tensors):
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    value = loss(*leaves)
    value.backward()
    return [value.detach(), *(leaf.grad for leaf in leaves)]


def assert_all_close(actual, expected, tolerance=1e-10):
    for got, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


OPTIONS = [
    {},
    {"softcap": 2.0},
    {"z_loss": 0.01},
    {"label_smoothing": 0.1},
    {"logit_scale": 0.25},
    {"softcap": 3.0, "z_loss": 0.02, "label_smoothing": 0.2, "logit_scale": 1.5},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("rows", [1, 10, 1000])
def test_value_and_gradients_are_those_of_the_definition(options, reduction, rows):
    x, weight, bias, target = operands()
    factors = torch.randn(target.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def ours(x, weight, bias):
        budget = rows * weight.shape[0] * ROW_MIB
        result = linear_cross_entropy(x, weight, target, bias=bias, reduction=reduction, budget_mib=budget, **options)
        return (result * factors).sum() if reduction == "none" else 3 * result

    def definition(x, weight, bias):
        losses = plain_losses(x, weight, target, bias, **options)
        if reduction == "none":
            return (losses * factors.flatten()).sum()
        return 3 * losses.sum() / ((target != -100).sum() if reduction == "mean" else 1)

    assert_all_close(value_and_gradients(ours, x, weight, bias), value_and_gradients(definition, x, weight, bias))


@settings(deadline=None, max_examples=40)
@given(
    tokens=st.integers(1, 40),
    vocabulary=st.integers(2, 30),
    masked=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    rows=st.integers(1, 50),
    seed=st.integers(0, 1000),
)
def test_neither_masks_nor_chunks_change_the_gradients(tokens, vocabulary, masked, rows, seed):
    x, weight, bias, target = operands((tokens,), 8, vocabulary, masked=masked, seed=seed)
    budget = rows * vocabulary * ROW_MIB

    def ours(x, weight, bias):
        return linear_cross_entropy(x, weight, target, bias=bias, reduction="sum", budget_mib=budget)

    def definition(x, weight, bias):
        return F.cross_entropy(F.linear(x, weight, bias), target, reduction="sum")

    assert_all_close(value_and_gradients(ours, x, weight, bias), value_and_gradients(definition, x, weight, bias))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_shift_is_the_slicing_one_would_write(reduction):
    x, weight, _, target = operands((3, 12))
    for shift in (0, 1, 2):
        shifted = linear_cross_entropy(x, weight, target, shift=shift, reduction=reduction)
        sliced = linear_cross_entropy(x[:, : 12 - shift], weight, target[:, shift:], reduction=reduction)
        assert shifted.shape == sliced.shape
        torch.testing.assert_close(shifted, sliced, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_an_ignored_position_may_hold_anything(reduction):
    """Attention leaves NaN where every key is masked, which is where nothing is supervised."""
    x, weight, _, target = operands((12,), masked=0.0)
    target[3], x[3] = -100, float("nan")
    expected = F.cross_entropy(F.linear(x, weight), target, reduction=reduction)
    torch.testing.assert_close(linear_cross_entropy(x, weight, target, reduction=reduction), expected)


def test_another_ignore_index():
    x, weight, _, target = operands(masked=0.0)
    ours = linear_cross_entropy(x, weight, target, ignore_index=7)
    torch.testing.assert_close(
        ours, F.cross_entropy(F.linear(x, weight).flatten(0, 1), target.flatten(), ignore_index=7)
    )


def test_only_the_gradients_that_are_wanted():
    x, weight, _, target = operands()
    weight.requires_grad_()
    linear_cross_entropy(x, weight, target).backward()
    assert x.grad is None and weight.grad is not None


def test_backward_twice_gives_the_same_gradient():
    x, weight, _, target = operands()
    x.requires_grad_()
    loss = 5 * linear_cross_entropy(x, weight, target)
    first, second = (torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


class Watch(TorchDispatchMode):
    """Counts matrix products and keeps the size in bytes of the largest tensor any operation returned."""

    def __init__(self):
        super().__init__()
        self.largest = 0
        self.products = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.products += func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_)
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel() * tensor.element_size())
        return result


def watched(run: Callable[[], object]) -> Watch:
    with Watch() as watch:
        run()
    return watch


def test_full_logits_never_exist():
    x, weight, _, target = operands((2048,), 64, 4000, dtype=torch.float32)
    x.requires_grad_(), weight.requires_grad_()
    full = 2048 * 4000 * 4
    plain = watched(lambda: F.cross_entropy(F.linear(x, weight), target).backward())
    ours = watched(lambda: linear_cross_entropy(x, weight, target, budget_mib=8).backward())
    assert plain.largest == full
    assert ours.largest <= 4 << 20  # two buffers share the budget


def test_three_products_per_chunk_with_gradients_and_one_without():
    x, weight, _, target = operands((64,), dtype=torch.float32)
    assert watched(lambda: linear_cross_entropy(x, weight, target)).products == 1
    x.requires_grad_(), weight.requires_grad_()
    assert watched(lambda: linear_cross_entropy(x, weight, target).backward()).products == 3
    with torch.no_grad():
        assert watched(lambda: linear_cross_entropy(x, weight, target)).products == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_error_against_fp64_at_a_real_size(dtype):
    """Loss within 1e-4, gradients no worse than 1.25 times those of the plain loss in the same dtype."""
    x, weight, _, target = operands((2048,), 128, 8000, dtype=dtype, masked=0.1)

    def chunked(x, weight):
        return linear_cross_entropy(x, weight, target, budget_mib=32)

    def plain(x, weight):
        return F.cross_entropy(F.linear(x, weight).float(), target)

    exact = value_and_gradients(
        lambda x, weight: F.cross_entropy(F.linear(x, weight), target), x.double(), weight.double()
    )
    ours, theirs = value_and_gradients(chunked, x, weight), value_and_gradients(plain, x, weight)
    assert ours[0].dtype == torch.float32
    assert abs(ours[0].double() - exact[0]).item() < 1e-4
    for got, plain_gradient, wanted in zip(ours[1:], theirs[1:], exact[1:], strict=True):
        assert got.dtype == dtype
        error, allowed = ((g.double() - wanted).norm() / wanted.norm() for g in (got, plain_gradient))
        assert error.item() <= 1.25 * allowed.item() + 1e-7


def test_a_long_sum_in_bf16_keeps_its_digits():
    """Accumulated in the operands' dtype this sum would be off by hundreds."""
    x, weight, _, target = operands((4096,), 16, 64, dtype=torch.bfloat16, masked=0.0)
    exact = F.cross_entropy(F.linear(x.double(), weight.double()), target, reduction="sum").item()
    assert abs(linear_cross_entropy(x, weight, target, reduction="sum", budget_mib=0.05).item() - exact) < 0.01


def test_autocast_keeps_the_weight_gradient_in_fp32():
    x, weight, _, target = operands((256,), 32, 200, dtype=torch.float32)
    weight.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(x, weight, target)
    loss.backward()
    assert loss.dtype == weight.grad.dtype == torch.float32
    exact = F.cross_entropy(F.linear(x, weight.detach()), target)
    assert abs((loss - exact).item()) < 1e-3


def test_nothing_supervised_sums_to_zero():
    x, weight, _, target = operands((8,))
    x.requires_grad_()
    loss = linear_cross_entropy(x, weight, torch.full_like(target, -100), reduction="sum")
    loss.backward()
    assert loss.item() == 0 and torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "fats"}, "valid: 'auto', 'fast'. Did you mean 'fast'"),
        ({"backend": "cuda"}, "valid: 'auto', 'reference'"),
        ({"reduction": "avg"}, "valid: 'mean', 'none', 'sum'"),
    ],
)
def test_unknown_names_are_refused_with_the_valid_ones(options, message):
    x, weight, _, target = operands()
    with pytest.raises(UnknownOptionError, match=message):
        linear_cross_entropy(x, weight, target, **options)


def test_operands_that_do_not_fit_are_refused():
    x, weight, bias, target = operands()
    with pytest.raises(OperandError, match=r"weight \(16, 61\)"):
        linear_cross_entropy(x, weight.t(), target)
    with pytest.raises(OperandError, match=r"bias \(61,\), got \(60,\)"):
        linear_cross_entropy(x, weight, target, bias=bias[1:])
    with pytest.raises(OperandError, match="int64"):
        linear_cross_entropy(x, weight, target.int())
    with pytest.raises(OperandError, match="shift=34"):
        linear_cross_entropy(x, weight, target, shift=34)
    with pytest.raises(HyperparameterError, match="label_smoothing=1"):
        linear_cross_entropy(x, weight, target, label_smoothing=1.0)
    with pytest.raises(HyperparameterError, match="softcap=0 must be positive"):
        linear_cross_entropy(x, weight, target, softcap=0)
    with pytest.raises(OperandError, match=r"x \(16,\)"):
        linear_cross_entropy(x[0, 0], weight, target[0, 0])


def test_the_default_chunk_is_between_1024_and_2048_rows():
    for vocabulary, rows in ((1000, 2048), (30_000, 1024)):
        x, weight, _, target = operands((4096,), 4, vocabulary, dtype=torch.float32)
        assert watched(partial(linear_cross_entropy, x, weight, target)).largest == rows * vocabulary * 4
