import pytest
import torch

from fg_kernels import functional
from fg_kernels.dispatch import use, which

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def drawn(*shape: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to("cuda", dtype)


def differentiated(function, operands):
    leaves = [operand.detach().requires_grad_() for operand in operands]
    outs = function(*(leaf * 1 for leaf in leaves))
    grads = [drawn(*out.shape, dtype=out.dtype, seed=9 + number) for number, out in enumerate(outs)]
    return [*(out.detach() for out in outs), *torch.autograd.grad(outs, leaves, grads)]


def by_kernel_and_reference(op, function, operands):
    pytest.importorskip("triton")
    assert which(op, operands[0]).backend == "triton"
    results = [differentiated(function, operands)]
    with use("reference"):
        return *results, differentiated(function, operands)


def assert_near(got, wanted, scale=1.0):
    """The device's exponential and square root are good to a few units in the last place of fp32."""
    rtol = max(4e-6, torch.finfo(got.dtype).eps)
    torch.testing.assert_close(got, wanted, rtol=rtol, atol=4e-6 * scale)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("unit", "options"),
    [
        (functional.swiglu, {}),
        (functional.geglu, {"approximate": "tanh"}),
        (functional.geglu, {"approximate": "none"}),
    ],
)
def test_gated_units(dtype, overwrite, unit, options):
    gate, up = drawn(33, 5000, dtype=dtype), drawn(33, 5000, dtype=dtype, seed=1)
    for operands in ([4 * gate, up], [torch.cat((4 * gate, up), dim=-1)]):
        both = by_kernel_and_reference(
            unit.__name__, lambda *parts: (unit(*parts, inplace_backward=overwrite, **options),), operands
        )
        for ours, wanted in zip(*both, strict=True):
            assert_near(ours, wanted, scale=4.0)


def test_a_gated_unit_of_more_elements_than_32_bits_count():
    free, _ = torch.cuda.mem_get_info()
    if free < 16 << 30:
        pytest.skip("needs 16 GiB of free memory")
    rows = (1 << 31) // 4096 + 1
    gate = torch.ones(rows, 4096, device="cuda", dtype=torch.bfloat16)
    out = functional.swiglu(gate, gate)
    assert torch.equal(out[-1], torch.full_like(out[-1], torch.sigmoid(torch.ones(())).item()))
    assert torch.equal(out[0], out[-1])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(("heads", "head_dim", "pairs"), [(32, 128, 64), (3, 80, 40), (40, 96, 16)])
def test_rotary_embedding_has_the_bits_of_the_reference(dtype, interleaved, heads, head_dim, pairs):
    cos, sin = functional.rope_tables(functional.rope_frequencies(2 * pairs).inv_freq.cuda(), 4096)
    position_ids = torch.randint(0, 4096, (2, 65), device="cuda")
    options = {"position_ids": position_ids, "interleaved": interleaved}
    for rotate in (functional.rope, functional.rope_):
        both = by_kernel_and_reference(
            rotate.__name__,
            lambda x, rotate=rotate: (rotate(x.transpose(1, 2), cos, sin, **options),),
            [drawn(2, 65, heads, head_dim, dtype=dtype)],
        )
        assert all(torch.equal(ours, wanted) for ours, wanted in zip(*both, strict=True))


def test_a_position_without_a_row_becomes_nan():
    cos, sin = functional.rope_tables(functional.rope_frequencies(8).inv_freq.cuda(), 4)
    turned = functional.rope(
        drawn(1, 2, 3, 8, dtype=torch.float32), cos, sin, position_ids=torch.tensor([[0, 4, -1]]).cuda()
    )
    assert turned[:, :, 1:].isnan().all() and not turned[:, :, 0].isnan().any()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("hidden", [64, 128, 576, 1024, 2048, 3072, 4096, 8192])
def test_normalisation(dtype, hidden):
    operands = [drawn(1000, hidden, dtype=dtype, seed=seed) for seed in range(2)] + [drawn(hidden, dtype=dtype)]
    both = by_kernel_and_reference("add_rms_norm", functional.add_rms_norm, operands)
    for ours, wanted in zip(*both, strict=True):
        assert_near(ours, wanted, scale=32.0)
    alone = by_kernel_and_reference(
        "rms_norm", lambda x, weight: (functional.rms_norm(x, weight, weight_offset=1.0),), operands[1:]
    )
    for ours, wanted in zip(*alone, strict=True):
        assert_near(ours, wanted, scale=32.0)


def test_gradients_repeat_bit_for_bit():
    operands = [drawn(5000, 1000, dtype=torch.bfloat16, seed=seed) for seed in range(2)]
    operands.append(drawn(1000, dtype=torch.bfloat16))
    first, second = (differentiated(functional.add_rms_norm, operands) for _ in range(2))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(first, second, strict=True))


def test_the_host_waits_for_nothing():
    cos, sin = functional.rope_tables(functional.rope_frequencies(64).inv_freq.cuda(), 128)
    x, weight = drawn(2, 4, 128, 64, dtype=torch.bfloat16).requires_grad_(), drawn(64, dtype=torch.bfloat16)
    position_ids = torch.arange(128, device="cuda").expand(2, -1)
    grad = drawn(2, 4, 128, 64, dtype=torch.bfloat16)

    def layer():
        turned = functional.rope_(x * 1, cos, sin, position_ids=position_ids)
        normed, total = functional.add_rms_norm(functional.swiglu(turned, turned), x, weight)
        torch.autograd.grad(normed + total, x, grad)

    layer()
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("error")
        layer()
    finally:
        torch.cuda.set_sync_debug_mode("default")
