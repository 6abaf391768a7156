import pytest
import torch

from fg_kernels import functional, reference
from fg_kernels.dispatch import which
from fg_kernels.reference.quantization import CODES


def values(count: int, dtype=torch.float32) -> torch.Tensor:
    """Of many magnitudes, among them a block of zeros, of NaN, of infinity and of numbers too small to divide by."""
    generator = torch.Generator().manual_seed(count)
    drawn = torch.randn(count, generator=generator) * torch.exp2(torch.randint(-24, 1, (count,), generator=generator))
    drawn[256:512] = 0.0
    drawn[512:513], drawn[768:769] = float("nan"), float("-inf")
    drawn[1024:1280] *= 1e-38
    return drawn.to(dtype)


def same_bits(ours: torch.Tensor, wanted: torch.Tensor) -> bool:
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32}
    known = ~wanted.isnan() if wanted.is_floating_point() and wanted.itemsize > 1 else ...
    kind = kinds[wanted.itemsize]
    return torch.equal(ours.isnan(), wanted.isnan()) and torch.equal(ours.view(kind)[known], wanted.view(kind)[known])


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(("count", "block"), [(1, 16), (256, 256), (5003, 256), (3000, 64)])
def test_codes_scales_and_values_have_the_bits_of_the_reference(code, count, block):
    x = values(count)
    assert which("quantize_blockwise", x).backend == "interpret"
    ours = functional.quantize_blockwise(x, block=block, code=code)
    wanted = reference.quantize_blockwise(x, block=block, code=code)
    assert same_bits(ours.codes, wanted.codes) and same_bits(ours.scales, wanted.scales)
    for dtype in (torch.float32, torch.bfloat16):
        options = {"block": block, "code": code, "dtype": dtype}
        back = functional.dequantize_blockwise(*ours, **options)
        assert same_bits(back, reference.dequantize_blockwise(*wanted, **options))


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_the_value_of_the_reference(code):
    codes = torch.arange(256, dtype=torch.int32).to(torch.uint8).view(CODES[code])
    scales = torch.tensor([1.5])
    ours = functional.dequantize_blockwise(codes, scales, code=code)
    wanted = reference.dequantize_blockwise(codes, scales, code=code)
    finite = ~wanted.isnan()  # fp8 has two codes for NaN, which quantisation never gives
    assert finite.sum() >= 254 and torch.equal(ours[finite], wanted[finite])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_inputs_are_raised(dtype):
    x = values(700, dtype)
    ours, wanted = functional.quantize_blockwise(x), reference.quantize_blockwise(x)
    assert same_bits(ours.codes, wanted.codes) and same_bits(ours.scales, wanted.scales)
