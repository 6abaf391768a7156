import pytest
import torch

from fg_kernels import functional, reference
from fg_kernels.dispatch import use, which
from fg_kernels.measuring.memory import peak_bytes

UNITS = {
    "silu": (functional.swiglu, reference.swiglu, {}),
    "tanh": (functional.geglu, reference.geglu, {"approximate": "tanh"}),
    "none": (functional.geglu, reference.geglu, {"approximate": "none"}),
}
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def drawn(*shape: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Gate, up and the gradient of the result; gates as far out as activations are curved."""
    generator = torch.Generator().manual_seed(sum(shape))
    gate, up, grad = (torch.randn(shape, generator=generator) for _ in range(3))
    return [tensor.to(dtype) for tensor in (4 * gate, up, grad)]


def run(unit, parts, grad):
    leaves = [part.detach().requires_grad_() for part in parts]
    out = unit(*(leaf * 1 for leaf in leaves))
    return [out.detach(), *torch.autograd.grad(out, leaves, grad)]


def assert_near(got, wanted):
    """2e-6 beside fp32's own rounding, one unit in the last place of narrower dtypes."""
    rtol = max(2e-6, torch.finfo(got.dtype).eps)
    torch.testing.assert_close(got, wanted, rtol=rtol, atol=2e-6)


@pytest.mark.parametrize("activation", UNITS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("overwrite", [False, True])
def test_kernels_and_reference_agree(activation, dtype, overwrite):
    unit, plain, options = UNITS[activation]
    gate, up, grad = drawn(3, 50, dtype=dtype)
    assert which(unit.__name__, gate).backend == "interpret"
    got = run(lambda *parts: unit(*parts, inplace_backward=overwrite, **options), [gate, up], grad)
    for ours, wanted in zip(got, run(lambda *parts: plain(*parts, **options), [gate, up], grad), strict=True):
        assert_near(ours, wanted)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("overwrite", [False, True])
def test_packed_operands_have_the_same_bits(dtype, overwrite):
    gate, up, grad = drawn(5, 7, dtype=dtype)
    packed = torch.cat((gate, up), dim=-1)
    out, change = run(lambda x: functional.swiglu(x, inplace_backward=overwrite), [packed], grad)
    wanted, *changes = run(functional.swiglu, [gate, up], grad)
    assert torch.equal(out, wanted) and torch.equal(change, torch.cat(changes, dim=-1))


def test_a_row_of_several_programs(monkeypatch):
    from fg_kernels.triton import activation
    from fg_kernels.triton.launch import Config

    monkeypatch.setattr(activation, "config_for", lambda *_: Config(blocks={"BLOCK": 16}))
    gate, up, grad = drawn(3, 41, dtype=torch.bfloat16)
    packed = run(functional.swiglu, [torch.cat((gate, up), dim=-1)], grad)
    with use("reference"):
        wanted = run(functional.swiglu, [torch.cat((gate, up), dim=-1)], grad)
    for ours, theirs in zip(packed, wanted, strict=True):
        assert_near(ours, theirs)


def test_transposed_and_empty_operands():
    gate, up, grad = drawn(6, 4, dtype=torch.float32)
    for ours, wanted in zip(
        run(functional.swiglu, [gate.t(), up.t()], grad.t()),
        run(functional.swiglu, [gate.t().contiguous(), up.t().contiguous()], grad.t()),
        strict=True,
    ):
        assert torch.equal(ours, wanted)
    assert functional.swiglu(torch.empty(3, 0), torch.empty(3, 0)).shape == (3, 0)
    assert functional.geglu(torch.empty(0, 6)).shape == (0, 3)


@pytest.mark.filterwarnings("ignore:overflow")  # by NumPy, which the interpreter computes with
def test_far_from_zero_nothing_overflows():
    gate = torch.tensor([-1e4, -200.0, 200.0, 1e4], requires_grad=True)
    for unit in (functional.swiglu, functional.geglu):
        out = unit(gate, torch.ones(4))
        (slope,) = torch.autograd.grad(out.sum(), gate)
        assert torch.equal(out.detach(), gate.detach().relu()) and torch.equal(slope, (gate.detach() > 0).float())


def test_gate_and_up_that_share_memory_are_not_overwritten():
    x = torch.randn(4, 6, requires_grad=True) * 1
    with pytest.raises(ValueError, match="share memory"):
        functional.swiglu(x, x, inplace_backward=True)


@pytest.mark.parametrize(("overwrite", "tensors"), [(False, 2), (True, 0)])
def test_gradients_that_overwrite_take_no_memory(overwrite, tensors):
    gate, up, grad = drawn(16, 256, dtype=torch.bfloat16)
    parts = [part.requires_grad_() * 1 for part in (gate, up)]
    out = functional.swiglu(*parts, inplace_backward=overwrite)
    assert peak_bytes(lambda: torch.autograd.grad(out, parts, grad)) == tensors * gate.nbytes
