import pytest
import torch

from fg_kernels import functional, reference
from fg_kernels.dispatch import which
from fg_kernels.errors import OperandError
from fg_kernels.measuring.memory import peak_bytes

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def drawn(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def tables(pairs: int, dtype: torch.dtype = torch.float32):
    inv_freq, _ = functional.rope_frequencies(2 * pairs, theta=100.0)
    return tuple(table.to(dtype) for table in functional.rope_tables(inv_freq, 9))


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("dtype", "pairs"), [(torch.float32, 4), (torch.bfloat16, 3), (torch.float16, 2)], ids=str)
def test_kernel_and_reference_have_the_same_bits(interleaved, packed, dtype, pairs):
    x = drawn(2, 3, 5, 8, dtype=dtype).requires_grad_()
    assert which("rope_", x).backend == "interpret"
    position_ids = torch.tensor([[0, 1, 2, 0, 1], [8, 0, 3, 1, 2]]) if packed else None
    options = {"position_ids": position_ids, "interleaved": interleaved}
    wanted = reference.rope(x, *tables(pairs), **options)
    grad = drawn(2, 3, 5, 8, dtype=dtype).flip(0)
    (expected,) = torch.autograd.grad(wanted, x, grad)
    for turned in (functional.rope(x, *tables(pairs), **options), functional.rope_(x * 1, *tables(pairs), **options)):
        assert torch.equal(turned, wanted)
        assert torch.equal(torch.autograd.grad(turned, x, grad)[0], expected)


@pytest.mark.parametrize(
    "layout", [lambda x: x.transpose(1, 2), lambda x: x.mT, lambda x: x[:, ::2], lambda x: x[..., 1:]]
)
def test_views_are_changed_where_they_lie(layout):
    cos, sin = tables(2)
    whole = drawn(2, 4, 6, 7, dtype=torch.bfloat16)
    wanted = whole.clone()
    reference.rope_(layout(wanted), cos, sin)
    functional.rope_(layout(whole), cos, sin)
    assert torch.equal(whole, wanted)


def test_more_heads_than_a_program_takes():
    x = drawn(1, 70, 2, 66, dtype=torch.float32)
    cos, sin = tables(33)
    assert torch.equal(functional.rope(x, cos, sin), reference.rope(x, cos, sin))


def test_narrow_tables_are_raised_first():
    x, narrow = drawn(1, 2, 3, 8, dtype=torch.bfloat16), tables(4, torch.bfloat16)
    wide = [table.float() for table in narrow]
    assert torch.equal(functional.rope(x, *narrow), functional.rope(x, *wide))


def test_positions_and_empty_sequences():
    x, (cos, sin) = drawn(1, 2, 3, 8, dtype=torch.float32), tables(4)
    with pytest.raises(OperandError, match="from 0 to 9 exceed"):
        functional.rope_(x, cos, sin, position_ids=torch.tensor([[0, 9, 1]]))
    assert torch.equal(x, drawn(1, 2, 3, 8, dtype=torch.float32))
    assert functional.rope(torch.empty(2, 0, 3, 8), cos, sin).shape == (2, 0, 3, 8)
    assert functional.rope_(torch.empty(2, 2, 0, 8), cos, sin).shape == (2, 2, 0, 8)


def test_a_position_without_a_row_reads_nothing_foreign():
    """As on CUDA, where the host does not look at positions first."""
    from fg_kernels.triton.rotary import rotate_into

    x, (cos, sin) = drawn(1, 2, 3, 8, dtype=torch.float32), tables(4)
    places = torch.tensor([[9, 0, -1]])
    out = torch.empty_like(x)
    rotate_into(out, x, cos, sin, places, interleaved=False, inverse=False)
    assert out[:, :, [0, 2]].isnan().all() and torch.equal(out[:, :, 1], x[:, :, 1])
    assert torch.equal(reference.rotary.rotated(x, cos, sin, places, interleaved=False).isnan(), out.isnan())


def test_in_place_takes_no_memory():
    x, (cos, sin) = drawn(1, 2, 9, 64, dtype=torch.bfloat16), tables(32)
    leaf = x.clone().requires_grad_()
    assert peak_bytes(lambda: functional.rope_(x, cos, sin)) == 0
    changed = leaf * 1
    assert peak_bytes(lambda: functional.rope_(changed, cos, sin)) == 0
    assert peak_bytes(lambda: functional.rope(x, cos, sin)) == x.nbytes
