import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from fg_kernels import functional, reference
from fg_kernels.dispatch import which
from fg_kernels.errors import HyperparameterError, OperandError


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """x, residual, weight, and gradients of the two results."""
    generator = torch.Generator().manual_seed(sum(shape))
    shapes = (shape, shape, shape[-1:], shape, shape)
    return [torch.randn(size, generator=generator, dtype=torch.float64).to(dtype) for size in shapes]


def run(norm, x, residual, weight, *grads):
    """Results and gradients in fp64; `norm` returns two tensors."""
    leaves = [tensor.detach().requires_grad_() for tensor in (x, residual, weight)]
    outs = norm(*leaves)
    gradients = torch.autograd.grad(outs, leaves, grads)
    return [tensor.detach().double() for tensor in (*outs, *gradients)]


def plain(x, residual, weight):
    total = x + residual
    return F.rms_norm(total, total.shape[-1:], weight, 1e-6), total


def llama(x, residual, weight):
    """In transformers the result is rounded before the weight too."""
    modeling = pytest.importorskip("transformers.models.llama.modeling_llama")
    total = x + residual
    layer = modeling.LlamaRMSNorm(total.shape[-1], eps=1e-6)
    return torch.func.functional_call(layer, {"weight": weight}, (total,)), total


def gemma(x, residual, weight):
    modeling = pytest.importorskip("transformers.models.gemma.modeling_gemma")
    total = x + residual
    layer = modeling.GemmaRMSNorm(total.shape[-1], eps=1e-6)
    return torch.func.functional_call(layer, {"weight": weight}, (total,)), total


@pytest.mark.parametrize(("theirs", "offset"), [(plain, 0.0), (llama, 0.0), (gemma, 1.0)])
def test_in_fp32_equal_to_torch_llama_and_gemma(theirs, offset):
    operands = drawn(3, 5, 16, dtype=torch.float32)
    wanted = run(theirs, *operands)
    for ours in (functional.add_rms_norm, reference.add_rms_norm):
        for got, expected in zip(run(lambda *x, f=ours: f(*x, weight_offset=offset), *operands), wanted, strict=True):
            torch.testing.assert_close(got, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_one_rounding_errs_no_more_than_plain_torch(dtype):
    operands = drawn(256, 512, dtype=dtype)
    exact = run(plain, *(tensor.double() for tensor in operands))
    theirs = run(plain, *operands)
    got = run(functional.add_rms_norm, *operands)
    for result, other, wanted in zip(got, theirs, exact, strict=True):
        assert (result - wanted).norm() <= 1.25 * (other - wanted).norm()


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_the_gradient_is_the_slope_of_the_value(offset):
    x, residual, weight = (tensor.requires_grad_() for tensor in drawn(3, 4)[:3])
    for room in (functional, reference):
        assert torch.autograd.gradcheck(
            lambda *operands, room=room: room.add_rms_norm(*operands, weight_offset=offset), (x, residual, weight)
        )
        assert torch.autograd.gradcheck(lambda *operands, room=room: room.rms_norm(*operands), (x, weight))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 4), max_size=3), st.integers(1, 9), st.floats(1e-6, 1.0), st.floats(-1, 1))
def test_adding_first_is_the_same(leading, hidden, eps, offset):
    x, residual, weight, grad, grad_total = drawn(*leading, hidden, dtype=torch.float32)

    def apart(x, residual, weight):
        total = x + residual
        return functional.rms_norm(total, weight, eps=eps, weight_offset=offset), total

    def at_once(x, residual, weight):
        return functional.add_rms_norm(x, residual, weight, eps=eps, weight_offset=offset)

    wanted, got = (run(norm, x, residual, weight, grad, grad_total) for norm in (apart, at_once))
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_either_result_may_be_left_alone():
    x, residual, weight, grad, grad_total = drawn(3, 8)
    leaves = [tensor.requires_grad_() for tensor in (x, residual, weight)]
    normed, total = functional.add_rms_norm(*leaves)
    of_norm = torch.autograd.grad(normed, leaves, grad, retain_graph=True)
    of_total = torch.autograd.grad(total, leaves, grad_total, retain_graph=True, allow_unused=True)
    assert torch.equal(of_total[0], grad_total) and torch.equal(of_total[1], grad_total) and of_total[2] is None
    of_both = torch.autograd.grad((normed, total), leaves, (grad, grad_total))
    torch.testing.assert_close(of_both[0], of_norm[0] + of_total[0])
    assert torch.equal(of_both[2], of_norm[2])


def test_a_wide_weight_gets_a_wide_gradient():
    x, _, weight, grad, _ = drawn(64, 16, dtype=torch.bfloat16)
    weight = weight.float().requires_grad_()
    out = functional.rms_norm(x, weight)
    assert out.dtype == torch.bfloat16
    (got,) = torch.autograd.grad(out, weight, grad)
    exact = grad.double() * F.rms_norm(x.double(), (16,), eps=1e-6)
    torch.testing.assert_close(got.double(), exact.sum(0), rtol=1e-5, atol=1e-5)


def test_the_sum_is_normalised_as_it_is_returned():
    x, residual, weight, *_ = drawn(64, 16, dtype=torch.bfloat16)
    normed, total = functional.add_rms_norm(x, residual, weight)
    assert torch.equal(total, x + residual)
    assert torch.equal(normed, functional.rms_norm(total, weight))


def test_other_memory_layouts_give_the_same():
    x, residual, weight, grad, grad_total = drawn(6, 4)
    turned = [tensor.t().contiguous().t() for tensor in (x, residual)]
    wanted = run(functional.add_rms_norm, x, residual, weight, grad, grad_total)
    got = run(functional.add_rms_norm, *turned, weight, grad.t().contiguous().t(), grad_total)
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))


def test_a_nan_stays_in_its_row():
    x = torch.ones(3, 4)
    x[1, 2] = torch.nan
    out = functional.rms_norm(x, torch.ones(4))
    assert out[1].isnan().all() and torch.allclose(out[[0, 2]], torch.ones(2, 4), atol=1e-5)


def test_rows_that_no_kernel_holds_are_told():
    choice = which("rms_norm", torch.empty(1, 8193), backend="auto")
    assert choice.backend == "reference" and "at most 8192 features, not 8193" in choice.reason


@pytest.mark.parametrize(
    ("x", "residual", "weight", "message"),
    [
        (torch.ones(2, 4), torch.ones(2, 4), torch.ones(5), r"weight torch.float32 \(5,\)"),
        (torch.ones(2, 4), torch.ones(4), torch.ones(4), "must agree"),
        (torch.ones(2, 4), torch.ones(2, 4).double(), torch.ones(4), "must agree"),
        (torch.ones(2, 4).long(), torch.ones(2, 4).long(), torch.ones(4), "int64"),
        (torch.ones(2, 0), torch.ones(2, 0), torch.ones(0), "hidden"),
        (torch.ones(()), torch.ones(()), torch.ones(()), "hidden"),
    ],
)
def test_operands_that_do_not_fit(x, residual, weight, message):
    for room in (functional, reference):
        with pytest.raises(OperandError, match=message):
            room.add_rms_norm(x, residual, weight)


@pytest.mark.parametrize("eps", [-1e-6, float("nan")])
def test_an_eps_that_is_no_small_number(eps):
    with pytest.raises(HyperparameterError, match="eps"):
        functional.rms_norm(torch.ones(2), torch.ones(2), eps=eps)


def test_torch_knows_the_operations():
    x, residual, weight, grad, _ = drawn(4, 6, dtype=torch.float32)
    leaves = [tensor.requires_grad_() for tensor in (x, residual, weight)]
    torch.library.opcheck(torch.ops.fg_kernels.add_rms_norm.default, (*leaves, 1e-6, 0.0, "auto"))
    torch.library.opcheck(torch.ops.fg_kernels.rms_norm.default, (x, weight, 1e-6, 1.0, "auto"))
    saved = [tensor.detach() for tensor in (x, torch.ones(4), weight)]
    torch.library.opcheck(torch.ops.fg_kernels.rms_norm_backward.default, (grad, None, *saved, 0.0, "auto"))


def test_fake_tensors_have_the_right_shape():
    with FakeTensorMode():
        x = torch.empty(2, 3, 8, dtype=torch.bfloat16, requires_grad=True)
        weight = torch.empty(8, requires_grad=True)
        normed, total = functional.add_rms_norm(x, x, weight)
        assert normed.shape == total.shape == (2, 3, 8) and normed.dtype == total.dtype == torch.bfloat16
        normed.sum().backward()
        assert x.grad.shape == (2, 3, 8) and weight.grad.shape == (8,) and weight.grad.dtype == torch.float32


def test_compiled_without_a_break():
    def layers(x, residual, weight):
        normed, total = functional.add_rms_norm(x, residual, weight)
        return functional.rms_norm(normed * 2, weight, weight_offset=1.0) + total, total

    operands = drawn(4, 6)
    wanted = run(layers, *operands)
    got = run(torch.compile(layers, fullgraph=True, backend="aot_eager"), *operands)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other)
