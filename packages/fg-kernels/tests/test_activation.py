import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from fg_kernels import functional, reference
from fg_kernels.errors import BackendError, OperandError, UnknownOptionError

PLAIN = {
    "silu": (functional.swiglu, reference.swiglu, F.silu, {}),
    "tanh": (functional.geglu, reference.geglu, lambda x: F.gelu(x, approximate="tanh"), {"approximate": "tanh"}),
    "none": (functional.geglu, reference.geglu, F.gelu, {"approximate": "none"}),
}
every_activation = pytest.mark.parametrize("activation", PLAIN)


def drawn(*shape: int, dtype: torch.dtype = torch.float64, scale: float = 3.0) -> list[torch.Tensor]:
    """Gate, up and the gradient of the result."""
    generator = torch.Generator().manual_seed(sum(shape))
    return [torch.randn(shape, generator=generator, dtype=torch.float64).mul(scale).to(dtype) for _ in range(3)]


def run(unit, gate, up, grad):
    """Result and gradients in fp64."""
    leaves = [gate.detach().requires_grad_(), up.detach().requires_grad_()]
    out = unit(*leaves)
    return [tensor.double() for tensor in (out.detach(), *torch.autograd.grad(out, leaves, grad.to(out.dtype)))]


@every_activation
def test_value_and_gradients_are_those_of_torch(activation):
    ours, plain, function, options = PLAIN[activation]
    gate, up, grad = drawn(3, 5, 8)
    wanted = run(lambda gate, up: function(gate) * up, gate, up, grad)
    for unit in (ours, plain):
        for got, expected in zip(run(lambda *x, f=unit: f(*x, **options), gate, up, grad), wanted, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-13, atol=1e-13)


@every_activation
def test_the_gradient_is_the_slope_of_the_value(activation):
    ours, plain, _, options = PLAIN[activation]
    operands = [tensor.requires_grad_() for tensor in drawn(2, 4)[:2]]
    for unit in (ours, plain):
        assert torch.autograd.gradcheck(lambda gate, up, f=unit: f(gate, up, **options), operands)


@every_activation
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_one_rounding_errs_no_more_than_plain_torch(activation, dtype):
    ours, _, function, options = PLAIN[activation]
    operands = drawn(64, 512, dtype=dtype)
    exact = run(lambda gate, up: function(gate) * up, *(tensor.double() for tensor in operands))
    plain = run(lambda gate, up: function(gate) * up, *operands)
    got = run(lambda *x: ours(*x, **options), *operands)
    for result, theirs, wanted in zip(got, plain, exact, strict=True):
        assert (result - wanted).norm() <= 1.25 * (theirs - wanted).norm()


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=4),
    st.sampled_from(list(PLAIN)),
    st.booleans(),
)
def test_any_shape_packed_or_not_and_overwriting_or_not(shape, activation, overwrite):
    ours, _, _, options = PLAIN[activation]
    gate, up, grad = drawn(*shape, dtype=torch.float32)
    wanted = run(lambda gate, up: ours(gate, up, **options), gate, up, grad)
    unit = lambda *x: ours(*(part * 1 for part in x), inplace_backward=overwrite, **options)  # noqa: E731
    packed = lambda gate, up: unit(torch.cat((gate, up), dim=-1))  # noqa: E731
    for way in (unit, packed):
        for got, expected in zip(run(way, gate, up, grad), wanted, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_by_default_operands_survive_and_may_be_used_twice():
    gate, up, grad = drawn(4, 6)
    gate.requires_grad_()
    kept = gate.detach().clone()
    out = functional.swiglu(gate, up) + functional.geglu(gate, up)
    first, second = (torch.autograd.grad(out, gate, grad, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(gate, kept) and torch.equal(first, second)


def test_gradients_take_the_place_of_gate_and_up():
    gate, up, grad = drawn(4, 6)
    leaf = gate.requires_grad_()
    middle = leaf * 1
    (wanted,) = torch.autograd.grad(functional.swiglu(leaf, up), leaf, grad)
    seen = []
    middle.register_hook(seen.append)
    out = functional.swiglu(middle, up.requires_grad_() * 1, inplace_backward=True)
    torch.autograd.backward(out, grad, retain_graph=True)
    assert seen[0].data_ptr() == middle.data_ptr()
    assert torch.equal(middle, wanted) and torch.equal(leaf.grad, wanted)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.backward(out, grad)


def test_another_operation_that_kept_an_overwritten_operand_raises():
    gate, up, grad = (tensor.requires_grad_() * 1 for tensor in drawn(4, 6))
    square = gate.square()
    out = functional.swiglu(gate, up, inplace_backward=True)
    torch.autograd.backward(out, grad, retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        square.sum().backward()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_second_derivative_is_refused(overwrite):
    gate, up, grad = (tensor.requires_grad_() * 1 for tensor in drawn(4, 6))
    kept = gate.detach().clone()
    out = functional.swiglu(gate, up, inplace_backward=overwrite)
    (change,) = torch.autograd.grad(out, gate, grad, create_graph=True)
    assert torch.equal(gate, kept)
    with pytest.raises(RuntimeError, match="gated_backward"):
        change.sum().backward()


@pytest.mark.parametrize(
    ("gate", "up", "message"),
    [
        (lambda x: x, lambda x: x * 1, "a leaf"),
        (lambda x: x * 1, lambda x: x.detach(), "a leaf"),
        (lambda x: x * 1, lambda x: x.view(4, 6), "a view of one"),
        (lambda x: x * 1, lambda x: (x * 1).unsqueeze(0).unbind()[0], "autograd protects"),
        (lambda x: (x * 1).t(), lambda x: (x * 1).t(), "not contiguous"),
    ],
)
def test_operands_that_may_not_be_overwritten(gate, up, message):
    leaf = torch.randn(4, 6, requires_grad=True)
    with pytest.raises(OperandError, match=message):
        functional.swiglu(gate(leaf), up(leaf), inplace_backward=True)
    with torch.no_grad():
        functional.swiglu(gate(leaf), up(leaf), inplace_backward=True)  # there is nothing to overwrite


def test_gate_and_up_that_share_memory_are_not_overwritten():
    x = torch.randn(4, 6, requires_grad=True) * 1
    with pytest.raises(OperandError, match="share memory"):
        functional.swiglu(x, x, inplace_backward=True)
    with pytest.raises(OperandError, match="share memory"):
        functional.swiglu(x[:3], x[1:], inplace_backward=True)
    functional.swiglu(x[:2], x[2:], inplace_backward=True).sum().backward()


def test_other_memory_layouts_give_the_same():
    gate, up, _ = drawn(6, 4)
    for grad in (torch.randn(4, 6).t(), torch.ones(()).expand(6, 4)):
        wanted = run(functional.swiglu, gate, up, grad.contiguous())
        for got, expected in zip(run(functional.swiglu, gate.t().contiguous().t(), up, grad), wanted, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-14, atol=1e-14)


def test_the_result_is_contiguous_as_torch_compile_is_told():
    x = torch.randn(8, 4, 6).transpose(0, 1)
    assert functional.swiglu(x, x).is_contiguous() and functional.geglu(x).is_contiguous()
    for parts in ([x, x], [x]):
        torch.library.opcheck(torch.ops.fg_kernels.gated.default, (parts, "silu", False, "auto"))


def test_far_from_zero_nothing_overflows():
    gate = torch.tensor([-1e4, -200.0, -90.0, 90.0, 200.0, 1e4], requires_grad=True)
    for unit in (functional.swiglu, functional.geglu):
        out = unit(gate, torch.ones(6))
        torch.testing.assert_close(out.detach(), gate.detach().relu(), rtol=0, atol=1e-30)
        (slope,) = torch.autograd.grad(out.sum(), gate)
        torch.testing.assert_close(slope, (gate.detach() > 0).float(), rtol=0, atol=1e-30)


@pytest.mark.parametrize(
    ("gate", "up", "message"),
    [
        (torch.ones(4).long(), torch.ones(4).long(), "int64"),
        (torch.ones(4), torch.ones(5), r"gate torch.float32 \(4,\), up torch.float32 \(5,\)"),
        (torch.ones(4), torch.ones(4).bfloat16(), "bfloat16"),
        (torch.ones(2, 5), None, "even last dimension"),
        (torch.ones(()), None, "even last dimension"),
    ],
)
def test_operands_that_do_not_fit(gate, up, message):
    for unit in (functional.swiglu, reference.swiglu, functional.geglu):
        with pytest.raises(OperandError, match=message):
            unit(gate, up)


def test_names_that_do_not_exist():
    with pytest.raises(UnknownOptionError, match="Did you mean 'tanh'"):
        functional.geglu(torch.ones(2), torch.ones(2), approximate="tan")
    with pytest.raises(BackendError, match="cannot be used"):
        functional.swiglu(torch.ones(2).double(), torch.ones(2).double(), backend="triton")


def test_torch_knows_the_operations():
    gate, up, grad = drawn(4, 6, dtype=torch.float32)
    leaves = [gate.requires_grad_(), up.requires_grad_()]
    torch.library.opcheck(torch.ops.fg_kernels.gated.default, (leaves, "silu", False, "auto"))
    torch.library.opcheck(torch.ops.fg_kernels.gated.default, ([leaves[0]], "gelu", False, "auto"))
    plain = [leaf.detach() for leaf in leaves]
    torch.library.opcheck(torch.ops.fg_kernels.gated_backward.default, (grad, plain, "silu", "auto"))
    torch.library.opcheck(torch.ops.fg_kernels.gated_backward_.default, (grad, plain, "silu", "auto"))


def test_fake_tensors_have_the_right_shape():
    with FakeTensorMode():
        gate, up = (torch.empty(3, 8, dtype=torch.bfloat16, requires_grad=True) for _ in range(2))
        out = functional.swiglu(gate, up)
        assert out.shape == (3, 8) and out.dtype == torch.bfloat16
        assert functional.geglu(gate).shape == (3, 4)
        out.sum().backward()
        assert gate.grad.shape == (3, 8)


@pytest.mark.parametrize("overwrite", [False, True])
def test_compiled_without_a_break(overwrite):
    def layer(x):
        return functional.swiglu(x * 2, x + 1, inplace_backward=overwrite) * functional.geglu(torch.cat((x, x), -1))

    x = torch.randn(4, 6, requires_grad=True)
    (wanted,) = torch.autograd.grad(layer(x).sum(), x)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    (got,) = torch.autograd.grad(compiled(x).sum(), x)
    torch.testing.assert_close(got, wanted)
