import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fg_kernels import functional, reference
from fg_kernels.errors import BackendError, OperandError, UnknownOptionError
from fg_kernels.reference.quantization import CODES

TWO = ("dynamic", "dynamic_unsigned")


def values(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=generator) * torch.exp2(torch.randint(-20, 1, (count,), generator=generator))


def values_of(code: str) -> torch.Tensor:
    """All values of an 8-bit code, by decoding each."""
    codes = torch.arange(256, dtype=torch.int32).to(torch.uint8).view(CODES[code])
    return functional.dequantize_blockwise(codes, torch.ones(1), code=code)


@pytest.mark.parametrize(("code", "signed"), [("dynamic", True), ("dynamic_unsigned", False)])
def test_the_dynamic_codes_are_torchaos(code, signed):
    utilities = pytest.importorskip("torchao.optim.quant_utils")
    theirs = torch.tensor(utilities.create_dynamic_map(signed))
    torch.testing.assert_close(values_of(code), theirs, rtol=1e-6, atol=0)


@pytest.mark.parametrize("code", CODES)
def test_codes_are_in_order_and_one_is_exact(code):
    known = values_of(code)
    known = known[~known.isnan()].unique()
    assert known.numel() == {"fp8": 253, "linear": 256}.get(code, 256)  # of fp8, two are NaN and two are zero
    assert known.max() == 1.0 and known.min() < (-0.99 if code != "dynamic_unsigned" else 1e-9)


@pytest.mark.parametrize("code", CODES)
def test_every_value_becomes_the_nearest_of_its_code(code):
    x = values(4096).abs() if code == "dynamic_unsigned" else values(4096)
    codes, scales = functional.quantize_blockwise(x, code=code)
    back = functional.dequantize_blockwise(codes, scales, code=code)
    known = values_of(code)
    known = known[~known.isnan()]
    if code == "dynamic_unsigned":
        known = known[known > 0]
    scaled, got = ((tensor.view(-1, 256) / scales[:, None]).view(-1, 1) for tensor in (x, back))
    least = (scaled - known).abs().amin(dim=1)
    assert ((scaled - got).abs().squeeze(1) - least).max() < 5e-7


@pytest.mark.parametrize(("code", "bound"), [("dynamic", 0.0352), ("dynamic_unsigned", 0.0176), ("linear", 1 / 254)])
def test_the_error_of_a_block_is_at_most_half_the_widest_step(code, bound):
    """The widest step of a dynamic code is the one from 0.1 up in a decade, 0.9 / 64 (0.9 / 128 unsigned) of it."""
    x = values(2048, seed=3).abs() if code == "dynamic_unsigned" else values(2048, seed=3)
    codes, scales = functional.quantize_blockwise(x, block=64, code=code)
    error = (functional.dequantize_blockwise(codes, scales, block=64, code=code) - x).view(-1, 64).abs().amax(dim=1)
    assert (error <= scales * bound * 1.0001).all()


def test_a_positive_second_moment_never_becomes_zero():
    x = torch.tensor([1.0, 1e-12, 0.0, 3e-30])
    codes, scales = functional.quantize_blockwise(x, code="dynamic_unsigned")
    assert codes.tolist() == [255, 1, 0, 1]
    back = functional.dequantize_blockwise(codes, scales, code="dynamic_unsigned")
    torch.testing.assert_close(back, torch.tensor([1.0, 3.25e-7, 0.0, 3.25e-7]))


def test_a_block_worked_by_hand():
    """0.1..1 in 64 steps of 0.9/64: -0.5 is 28.4 steps up, so it gets the middle of step 28, times the scale 2."""
    x = torch.tensor([2.0, -1.0, 0.0, 1e-9])
    codes, scales = functional.quantize_blockwise(x, block=16)
    assert scales.tolist() == [2.0] and codes.tolist() == [255, 127 - (64 + 28), 127, 127]
    back = functional.dequantize_blockwise(codes, scales, block=16)
    torch.testing.assert_close(back, torch.tensor([2.0, -2 * (0.1 + 28.5 * 0.9 / 64), 0.0, 0.0]))
    codes, _ = functional.quantize_blockwise(x, block=16, code="linear")
    assert codes.tolist() == [127, -64, 0, 0]  # -63.5 to even


@given(
    st.integers(0, 700),
    st.sampled_from([16, 64, 256]),
    st.sampled_from([*CODES]),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
def test_codes_do_not_depend_on_the_unit(count, block, code, dtype):
    x = values(count, seed=count).to(dtype)
    x = x.abs() if code == "dynamic_unsigned" else x
    codes, scales = functional.quantize_blockwise(x, block=block, code=code)
    assert codes.shape == x.shape and scales.shape == (math.ceil(count / block),)
    others, greater = functional.quantize_blockwise(x.float() * 1024, block=block, code=code)
    assert torch.equal(codes.view(torch.uint8), others.view(torch.uint8)) and torch.equal(greater, scales * 1024)
    back = functional.dequantize_blockwise(codes, scales, block=block, code=code, dtype=dtype)
    assert (
        back.dtype == dtype and (back.float() - x.float()).abs().sum() <= 0.07 * scales.repeat_interleave(block).sum()
    )


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_takes_its_block_and_no_other(code, bad):
    x = torch.ones(48)
    x[20] = bad
    back = functional.dequantize_blockwise(*functional.quantize_blockwise(x, block=16, code=code), block=16, code=code)
    assert back[16:32].isnan().all() and (back[:16] == 1).all() and (back[32:] == 1).all()


@pytest.mark.parametrize("code", CODES)
def test_zeros_and_the_smallest_numbers_become_zero(code):
    x = torch.tensor([0.0, 1e-39, -0.0, 1e-45])
    back = functional.dequantize_blockwise(*functional.quantize_blockwise(x, block=16, code=code), block=16, code=code)
    assert back.abs().max() < 1e-38


def test_shapes_strides_and_the_operation_under_fake_tensors():
    x = values(600).view(20, 30).t()
    codes, scales = functional.quantize_blockwise(x)
    flat, _ = functional.quantize_blockwise(x.reshape(-1))
    assert codes.shape == (30, 20) and torch.equal(codes.reshape(-1), flat)
    torch.library.opcheck(torch.ops.fg_kernels.quantize_blockwise, (x, 256, "dynamic", "auto"))
    arguments = (codes, scales, 256, "dynamic", torch.bfloat16, "auto")
    torch.library.opcheck(torch.ops.fg_kernels.dequantize_blockwise, arguments)


def test_functional_and_reference_agree():
    x = values(1000)
    for ours, wanted in zip(functional.quantize_blockwise(x), reference.quantize_blockwise(x), strict=True):
        assert torch.equal(ours, wanted)


def test_bad_requests_are_refused():
    x = values(100)
    codes, scales = functional.quantize_blockwise(x)
    with pytest.raises(UnknownOptionError, match="Did you mean 'dynamic'"):
        functional.quantize_blockwise(x, code="dynamik")
    with pytest.raises(OperandError, match="block=100; valid: powers of two from 16 to 4096"):
        functional.quantize_blockwise(x, block=100)
    with pytest.raises(OperandError, match=r"cannot quantise torch\.float64"):
        functional.quantize_blockwise(x.double())
    with pytest.raises(OperandError, match=r"100 codes in blocks of 64 have 2 scales, not \(1,\)"):
        functional.dequantize_blockwise(codes, scales, block=64)
    with pytest.raises(OperandError, match=r"'linear' has codes of torch\.int8"):
        functional.dequantize_blockwise(codes, scales, code="linear")
    with pytest.raises(BackendError, match="quantize_blockwise: 'triton' cannot be used"):
        functional.quantize_blockwise(x, backend="triton")
