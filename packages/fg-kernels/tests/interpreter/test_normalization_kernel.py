from functools import partial

import pytest
import torch

from fg_kernels import functional
from fg_kernels.dispatch import use, which
from fg_kernels.errors import BackendError

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def drawn(*shape: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """x, residual, weight, and gradients of the two results."""
    generator = torch.Generator().manual_seed(sum(shape))
    shapes = (shape, shape, shape[-1:], shape, shape)
    return [torch.randn(size, generator=generator).to(dtype) for size in shapes]


def run(norm, operands, grads, backend="interpret"):
    with use(backend):
        return differentiated(norm, operands, grads)


def both_ways(norm, operands, grads):
    """By the kernels, and by the reference with its own gradients: autograd through it rounds them once more."""
    return (run(norm, operands, grads, backend) for backend in ("interpret", "reference"))


def differentiated(norm, operands, grads):
    leaves = [operand.detach().requires_grad_() for operand in operands]
    outs = norm(*leaves)
    return [*(out.detach() for out in outs), *torch.autograd.grad(outs, leaves, grads)]


def assert_near(got, wanted, sums=1):
    """Sums are taken in another order: 2e-6 of fp32 for each, then one unit in the last place of narrower dtypes."""
    rtol = max(2e-6, torch.finfo(got.dtype).eps)
    torch.testing.assert_close(got, wanted, rtol=rtol, atol=4e-6 * sums)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("shape", "offset"), [((2, 9, 48), 0.0), ((37, 128), 1.0), ((3, 300), 1.0), ((1, 1), 0.0)])
def test_kernels_and_reference_agree(dtype, shape, offset):
    *operands, grad, grad_total = drawn(*shape, dtype=dtype)
    assert which("add_rms_norm", operands[0]).backend == "interpret"
    norm = partial(functional.add_rms_norm, weight_offset=offset)
    got, wanted = both_ways(norm, operands, (grad, grad_total))
    for ours, theirs in zip(got, wanted, strict=True):
        assert_near(ours, theirs, sums=4)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_without_a_residual(dtype):
    x, _, weight, grad, _ = drawn(5, 64, dtype=dtype)
    weight = weight.float()
    got, wanted = both_ways(lambda *operands: (functional.rms_norm(*operands),), (x, weight), (grad,))
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        assert_near(ours, theirs, sums=4)


def test_the_sum_has_the_bits_of_torch_and_is_normalised_as_returned():
    x, residual, weight, *_ = drawn(40, 24, dtype=torch.bfloat16)
    normed, total = functional.add_rms_norm(x, residual, weight)
    assert torch.equal(total, x + residual)
    assert torch.equal(normed, functional.rms_norm(total, weight))


def test_many_rows_for_few_programs_give_the_same_bits_again(monkeypatch):
    from fg_kernels.triton import normalization

    monkeypatch.setattr(normalization, "_PROGRAMS", 2)
    *operands, grad, grad_total = drawn(70, 16, dtype=torch.float32)
    got, again = (run(functional.add_rms_norm, operands, (grad, grad_total)) for _ in range(2))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(got, again, strict=True))
    for ours, theirs in zip(got, run(functional.add_rms_norm, operands, (grad, grad_total), "reference"), strict=True):
        assert_near(ours, theirs, sums=10)


def test_sums_that_are_exact_have_the_bits_of_the_reference():
    generator = torch.Generator().manual_seed(0)
    x, grad = (torch.randint(0, 2, (64, 16), generator=generator) * 2.0 - 1 for _ in range(2))
    weight = torch.exp2(torch.randint(-3, 3, (16,), generator=generator).float())
    got, wanted = both_ways(lambda *operands: (functional.rms_norm(*operands, eps=0.0),), (x, weight), (grad,))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(got, wanted, strict=True))


def test_transposed_and_empty_operands():
    x, residual, weight, grad, grad_total = drawn(6, 6, dtype=torch.float32)
    turned = run(functional.add_rms_norm, (x.t(), residual.t(), weight), (grad.t(), grad_total.t()))
    plain = [tensor.t().contiguous() for tensor in (x, residual, grad, grad_total)]
    wanted = run(functional.add_rms_norm, (*plain[:2], weight), plain[2:])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(turned, wanted, strict=True))
    empty = run(lambda x, weight: (functional.rms_norm(x, weight),), (torch.empty(0, 6), weight), (torch.empty(0, 6),))
    assert empty[0].shape == (0, 6) and torch.equal(empty[2], torch.zeros(6))


def test_rows_that_no_program_holds_are_refused():
    with pytest.raises(BackendError, match="at most 8192 features"):
        functional.rms_norm(torch.ones(1, 8193), torch.ones(8193))
