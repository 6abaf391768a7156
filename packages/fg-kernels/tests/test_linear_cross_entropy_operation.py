"""The loss as one operation of torch: compiled, traced, differentiated once."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from fg_kernels.errors import OperandError
from fg_kernels.functional import cross_entropy_, linear_cross_entropy
from fg_kernels.measuring.memory import peak_bytes

OPERATIONS = torch.ops.fg_kernels


def operands(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 20, 8, generator=generator).to(dtype)
    weight = torch.randn(30, 8, generator=generator).to(dtype)
    target = torch.randint(0, 30, (2, 20), generator=generator)
    target[0, 3] = -100
    return x.requires_grad_(), weight.requires_grad_(), target


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("mode", ["fast", "tiny"])
def test_compiled_as_a_whole(mode, reduction):
    x, weight, target = operands()

    def loss(x, weight):
        return linear_cross_entropy(2 * x, weight, target, shift=1, mode=mode, softcap=3.0, reduction=reduction).sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, weight), loss(x, weight))
    ours, eager = (torch.autograd.grad(function(x, weight), (x, weight)) for function in (compiled, loss))
    torch.testing.assert_close(ours, eager)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mode", ["fast", "tiny"])
def test_fake_tensors_have_the_shapes_and_dtypes_of_real_ones(mode, dtype):
    def kinds(x, weight, target):
        loss = linear_cross_entropy(x, weight, target, mode=mode)
        made = (loss, *torch.autograd.grad(loss, (x, weight)))
        return [(tuple(tensor.shape), tensor.dtype) for tensor in made]

    real = operands(dtype)
    expected = kinds(*real)
    with FakeTensorMode() as fake:
        assert kinds(*(fake.from_tensor(tensor) for tensor in real)) == expected


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("mode", ["fast", "tiny"])
def test_torch_finds_the_operation_in_order(mode, each):
    x, weight, target = operands()
    flat, needed = x.detach().flatten(0, 1).requires_grad_(), [not each, not each, False]
    options, block = (-100, 2.0, 0.1, 0.1, 0.5), [16, 7]
    how = (block, mode, torch.float32, torch.float32, False, False, "auto")
    arguments = (flat, weight, None, target.flatten(), None, needed, each, *options, *how)
    torch.library.opcheck(OPERATIONS.linear_cross_entropy.default, arguments)


def test_torch_finds_the_operations_without_gradient_in_order():
    logits, target = torch.randn(5, 9), torch.arange(5)
    torch.library.opcheck(OPERATIONS.cross_entropy_.default, (logits, target, -100, None, 0.0, 0.0, 1.0, "auto"))
    torch.library.opcheck(OPERATIONS.linear_cross_entropy_scaled.default, (logits, torch.ones(()), torch.bfloat16))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mode", ["fast", "tiny"])
def test_the_factor_of_a_scaled_loss_is_not_rounded_to_the_dtype_of_gradients(mode, dtype):
    """As gradient scalers have it: fp16 does not hold 2**17, though it holds the products."""
    x, weight, target = operands(dtype)
    for factor in (2.0**17, 1 / 3):
        loss = linear_cross_entropy(x, weight, target, mode=mode)
        formed = torch.autograd.grad(loss, (x, weight), retain_graph=True)
        scaled = torch.autograd.grad(loss * factor, (x, weight))
        step = torch.finfo(dtype).eps
        for got, plain in zip(scaled, formed, strict=True):
            wanted = plain.float() * factor
            finite = wanted.abs() < torch.finfo(dtype).max
            assert finite.any() and got[finite].isfinite().all()
            torch.testing.assert_close(got[finite].float(), wanted[finite], rtol=2 * step, atol=1e-3 * factor * step)


def test_a_gradient_is_multiplied_by_parts_in_the_wider_dtype():
    gradient = torch.randn(2000, 1024).to(torch.bfloat16)
    factor, made = torch.tensor(1 / 3), []
    peak = peak_bytes(lambda: made.append(OPERATIONS.linear_cross_entropy_scaled(gradient, factor, torch.bfloat16)))
    assert torch.equal(made[0], (gradient.float() / 3).to(torch.bfloat16))
    assert peak <= gradient.numel() * 2 + (2 << 20)
    empty = OPERATIONS.linear_cross_entropy_scaled(gradient[:, :0], factor, torch.bfloat16)
    assert empty.shape == (2000, 0)


def test_a_second_derivative_is_refused():
    x, weight, target = operands()
    with pytest.raises(OperandError, match=r"no second derivative: leave out create_graph=True"):
        torch.autograd.grad(linear_cross_entropy(x, weight, target), x, create_graph=True)


def test_a_gradient_that_nobody_wants_is_not_formed():
    x, weight, target = operands()
    weight.requires_grad_(False)
    with torch.no_grad():
        assert linear_cross_entropy(x, weight, target).grad_fn is None
    assert torch.autograd.grad(linear_cross_entropy(x, weight, target), x)[0].shape == x.shape
    assert linear_cross_entropy(x.detach(), weight, target).grad_fn is None


def test_logits_that_require_a_gradient_are_not_overwritten():
    logits = torch.zeros(3, 5, requires_grad=True)
    with pytest.raises(OperandError, match=r"pass logits\.detach\(\)"):
        cross_entropy_(logits, torch.arange(3))
    assert torch.equal(logits, torch.zeros(3, 5))
