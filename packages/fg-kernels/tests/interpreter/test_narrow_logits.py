"""For the kernel the logits of narrow operands are as narrow as these, and become their gradient where they are."""

import pytest
import torch
import torch.nn.functional as F

from fg_kernels.dispatch import use
from fg_kernels.functional import linear_cross_entropy
from fg_kernels.measuring.memory import peak_bytes

MIB = 1 << 20


def operands(tokens, hidden, vocabulary, dtype=torch.bfloat16):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(tokens, hidden, generator=generator).to(dtype).requires_grad_()
    weight = (torch.randn(vocabulary, hidden, generator=generator) * hidden**-0.5 / 2).to(dtype).requires_grad_()
    target = torch.randint(0, vocabulary, (tokens,), generator=generator)
    target[3] = -100
    return x, weight, target


def with_gradients(loss, *leaves):
    value = loss(*leaves)
    return value.detach(), *torch.autograd.grad(value, leaves)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_error_against_fp64(dtype, biased):
    """The plain loss rounds its logits too; what that does to the loss averages out over many tokens only."""
    x, weight, target = operands(128, 64, 300, dtype)
    bias = torch.linspace(-0.5, 0.5, 300).to(dtype).requires_grad_()
    leaves = (x, weight, bias) if biased else (x, weight)

    def ours(x, weight, bias=None):
        return linear_cross_entropy(x, weight, target, bias=bias, budget_mib=0.05, mode="fast")

    def plain(x, weight, bias=None):
        return F.cross_entropy(F.linear(x, weight, bias).float(), target)

    exact = with_gradients(plain, *(leaf.detach().double().requires_grad_() for leaf in leaves))
    got, theirs = with_gradients(ours, *leaves), with_gradients(plain, *leaves)
    assert got[0].dtype == torch.float32
    error, usual = (abs(loss.double() - exact[0]) for loss in (got[0], theirs[0]))
    assert error <= max(1e-4, usual + 1e-6)
    for gradient, other, wanted in zip(got[1:], theirs[1:], exact[1:], strict=True):
        assert gradient.dtype == dtype
        assert (gradient - wanted).norm() <= 1.25 * (other - wanted).norm()


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_two_bytes_for_a_logit(reduction):
    """A budget of that and a little more holds all tokens at a time; with fp32 logits it would hold a third."""
    x, weight, target = operands(64, 16, 40000)
    logits = 64 * 40000 * 2
    budget = 1.1 * logits / MIB
    made = []

    def forward():
        made.append(linear_cross_entropy(x, weight, target, reduction=reduction, mode="fast", budget_mib=budget))

    gradients = 2 * x.numel() + 4 * weight.numel() if reduction == "sum" else 0
    assert logits <= peak_bytes(forward) - gradients <= 1.1 * logits
    total = made[0].sum()
    results = 2 * x.numel() + (2 + 4) * weight.numel() if reduction == "none" else 2 * (x.numel() + weight.numel())
    assert peak_bytes(lambda: torch.autograd.grad(total, (x, weight))) - results <= budget * MIB


# The interpreter takes the maximum of a row of NaN by numpy, which remarks on it.
@pytest.mark.filterwarnings("ignore:All-NaN slice encountered")
@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
def test_what_is_ignored_may_be_nan(wanted):
    """Hidden states stand, cleared, where their gradient will be, if both are wanted."""
    x, weight, target = operands(20, 16, 100)
    broken = x.detach().clone()
    broken[3] = float("nan")
    weight.requires_grad_(wanted[1])
    leaves = []

    def run(x):
        x = x.detach().requires_grad_(wanted[0])
        leaves[:] = [leaf for leaf in (x, weight) if leaf.requires_grad]
        return torch.autograd.grad(linear_cross_entropy(x, weight, target, mode="fast"), leaves)

    for clean, nan in zip(run(x), run(broken), strict=True):
        assert clean.isfinite().all() and torch.equal(clean, nan)
    assert torch.isnan(broken[3]).all()


def test_only_the_kernel_is_given_narrow_logits():
    x, weight, target = operands(128, 64, 300)
    with torch.no_grad():
        kernel = linear_cross_entropy(x, weight, target)
        with use("reference"):
            reference = linear_cross_entropy(x, weight, target)
    exact = F.cross_entropy(F.linear(x.double(), weight.double()), target)
    assert abs(reference.double() - exact) < 2e-6 < abs(kernel.double() - exact) < 1e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_kernel_that_is_given_wide_logits_computes_what_plain_torch_does(dtype):
    x, weight, target = operands(128, 64, 300, dtype)

    def by(backend):
        def loss(x, weight):
            return linear_cross_entropy(x, weight, target, softcap=3.0, logits_dtype=torch.float32, backend=backend)

        return with_gradients(loss, x, weight)

    kernel, reference = by("interpret"), by("reference")
    torch.testing.assert_close(kernel[0], reference[0], rtol=1e-6, atol=0)
    for got, wanted in zip(kernel[1:], reference[1:], strict=True):
        torch.testing.assert_close(got, wanted, rtol=2 * torch.finfo(dtype).eps, atol=1e-6)
