import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from fg_kernels import functional, reference
from fg_kernels.errors import OperandError

ROOMS = (functional, reference)
every_layout = pytest.mark.parametrize("interleaved", [False, True])


def drawn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def tables(pairs: int, positions: int = 12, dtype: torch.dtype = torch.float32):
    inv_freq, _ = functional.rope_frequencies(2 * pairs, theta=100.0)
    return tuple(table.to(dtype) for table in functional.rope_tables(inv_freq, positions))


def by_complex_numbers(x, angles, *, interleaved):
    """Pairs as complex numbers, multiplied by `exp(i * angle)`; angles (batch or 1, seq, pairs), fp64."""
    pairs = angles.shape[-1]
    turning, rest = x.double()[..., : 2 * pairs], x.double()[..., 2 * pairs :]
    real, imaginary = (
        (turning[..., 0::2], turning[..., 1::2]) if interleaved else (turning[..., :pairs], turning[..., pairs:])
    )
    turned = torch.complex(real, imaginary) * torch.polar(torch.ones_like(angles), angles).unsqueeze(1)
    parts = (turned.real, turned.imag)
    both = torch.stack(parts, dim=-1).flatten(-2) if interleaved else torch.cat(parts, dim=-1)
    return torch.cat((both, rest), dim=-1)


@every_layout
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("pairs", [4, 2])
def test_pairs_turn_like_complex_numbers(interleaved, packed, pairs):
    x = drawn(2, 3, 5, 8)
    position_ids = torch.tensor([[0, 1, 2, 0, 1], [7, 0, 11, 1, 2]]) if packed else None
    places = torch.arange(5).unsqueeze(0) if position_ids is None else position_ids
    angles = places.unsqueeze(-1).double() * functional.rope_frequencies(2 * pairs, theta=100.0).inv_freq.double()
    wanted = by_complex_numbers(x, angles, interleaved=interleaved)
    options = {"position_ids": position_ids, "interleaved": interleaved}
    exact = [table.double() for table in tables(pairs)]
    for room in ROOMS:
        torch.testing.assert_close(room.rope(x, *exact, **options), wanted, rtol=0, atol=1e-6)
        copy = x.clone()
        assert room.rope_(copy, *exact, **options) is copy
        torch.testing.assert_close(copy, wanted, rtol=0, atol=1e-6)


def test_equal_to_transformers_in_fp32():
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    q, k = drawn(2, 4, 6, 8, dtype=torch.float32), drawn(2, 2, 6, 8, dtype=torch.float32, seed=1)
    cos, sin = tables(4)
    position_ids = torch.tensor([[0, 1, 2, 3, 4, 5], [0, 1, 0, 1, 2, 3]])
    wide = [torch.cat((table, table), dim=-1)[position_ids] for table in (cos, sin)]
    for ours, theirs in zip((q, k), llama.apply_rotary_pos_emb(q, k, *wide), strict=True):
        assert torch.equal(functional.rope(ours, cos, sin, position_ids=position_ids), theirs)


@every_layout
def test_one_rounding_errs_no_more_than_plain_torch(interleaved):
    x, cos_sin = drawn(4, 8, 12, 64, dtype=torch.bfloat16), tables(32)
    exact = reference.rope(x.double(), *(table.double() for table in cos_sin), interleaved=interleaved)
    cos, sin = (table.bfloat16() for table in cos_sin)
    first, second = (x[..., 0::2], x[..., 1::2]) if interleaved else x.chunk(2, dim=-1)
    parts = (first * cos - second * sin, second * cos + first * sin)
    plain = torch.stack(parts, -1).flatten(-2) if interleaved else torch.cat(parts, -1)
    got = functional.rope(x, *cos_sin, interleaved=interleaved)
    assert (got.double() - exact).norm() <= 1.25 * (plain.double() - exact).norm()


@every_layout
def test_the_gradient_turns_back(interleaved):
    cos, sin = tables(3, dtype=torch.float64)
    x = drawn(2, 2, 4, 8).requires_grad_()
    options = {"position_ids": torch.tensor([[3, 1, 4, 1]]), "interleaved": interleaved}
    for room in ROOMS:
        assert torch.autograd.gradcheck(lambda x, room=room: room.rope(x, cos, sin, **options), x)
        assert torch.autograd.gradcheck(lambda x, room=room: room.rope_(x * 1, cos, sin, **options), x)
    assert torch.autograd.gradgradcheck(lambda x: functional.rope(x, cos, sin, **options), x)


@settings(deadline=None, max_examples=25)
@given(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 5)),
    st.integers(1, 4),
    st.integers(0, 3),
    st.booleans(),
)
def test_turning_keeps_lengths_and_the_rest(shape, pairs, rest, interleaved):
    x = drawn(*shape, 2 * pairs + rest)
    cos, sin = tables(pairs, dtype=torch.float64)
    turned = functional.rope(x, cos, sin, interleaved=interleaved)
    assert turned.shape == x.shape and torch.equal(turned[..., 2 * pairs :], x[..., 2 * pairs :])
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), rtol=1e-6, atol=1e-6)
    back = functional.rope(turned, cos, -sin, interleaved=interleaved)
    torch.testing.assert_close(back, x, rtol=1e-6, atol=1e-6)


def test_scores_depend_on_distance_only():
    q, k = drawn(1, 1, 1, 8).expand(1, 1, 12, 8), drawn(1, 1, 1, 8, seed=1).expand(1, 1, 12, 8)
    cos, sin = tables(4)
    scores = (functional.rope(q, cos, sin) @ functional.rope(k, cos, sin).mT).squeeze()
    for distance in range(12):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-5, atol=1e-5)


def test_a_transposed_view_is_changed_where_it_lies():
    cos, sin = tables(4)
    leaf = drawn(2, 5, 3, 8, dtype=torch.float32).requires_grad_()
    projected = leaf * 1
    address = projected.data_ptr()
    turned = functional.rope_(projected.transpose(1, 2), cos, sin)
    assert turned.data_ptr() == address
    wanted = functional.rope(leaf.transpose(1, 2), cos, sin)
    assert torch.equal(turned, wanted) and torch.equal(projected.transpose(1, 2), wanted)
    grad = drawn(2, 3, 5, 8, dtype=torch.float32, seed=3)
    (expected,) = torch.autograd.grad(wanted, leaf, grad)
    for result, direction in ((turned, grad), (projected, grad.transpose(1, 2))):
        assert torch.equal(torch.autograd.grad(result, leaf, direction, retain_graph=True)[0], expected)


def test_what_kept_the_value_before_raises():
    cos, sin = tables(4)
    x = drawn(1, 1, 2, 8).requires_grad_() * 1
    square = x.square()
    functional.rope_(x, cos, sin)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        square.sum().backward()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: x, "leaf or view"),
        (lambda x: x.transpose(0, 1), "leaf or view"),
        (lambda x: (x * 1).chunk(2)[0], "leaf or view"),
        (lambda x: (x * 1).unbind()[0].unsqueeze(0), "leaf or view"),
        (lambda x: (x[:1] * 1).expand(4, -1, -1, -1), "expanded"),
    ],
)
def test_what_may_not_be_changed_is_refused_before_it_is(make, message):
    cos, sin = tables(4)
    leaf = drawn(2, 2, 3, 8).requires_grad_()
    x = make(leaf)
    before = x.detach().clone()
    with pytest.raises(OperandError, match=message):
        functional.rope_(x, cos, sin)
    assert torch.equal(x, before)
    assert functional.rope(x, cos, sin).shape == x.shape


def test_a_leaf_without_gradients_is_changed():
    cos, sin = tables(4)
    x = drawn(2, 2, 3, 8).requires_grad_()
    wanted = functional.rope(x, cos, sin).detach()
    with torch.no_grad():
        functional.rope_(x, cos, sin)
    assert torch.equal(x, wanted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.ones(2, 3, 4)}, r"x \(batch, heads, seq, head_dim\)"),
        ({"x": torch.ones(2, 2, 3, 6)}, r"2 \* pairs <= head_dim"),
        ({"x": torch.ones(2, 2, 3, 8).long()}, "floating point"),
        ({"x": torch.ones(2, 2, 13, 8)}, "13 tokens exceeds tables of 12"),
        ({"sin": torch.ones(12, 3)}, "alike"),
        ({"cos": torch.ones(12, 4).double()}, "alike"),
        ({"position_ids": torch.zeros(3, 3).long()}, r"int64 \(2, 3\) or \(1, 3\)"),
        ({"position_ids": torch.zeros(2, 3)}, "float32"),
        ({"position_ids": torch.tensor([[0, 12, 1]])}, "from 0 to 12 exceed"),
        ({"position_ids": torch.tensor([[0, -1, 1]])}, "from -1 to 1 exceed"),
    ],
)
def test_operands_that_do_not_fit(change, message):
    cos, sin = tables(4)
    operands = {"x": torch.ones(2, 2, 3, 8), "cos": cos, "sin": sin, "position_ids": None} | change
    before = operands["x"].clone()
    for room in ROOMS:
        for name in ("rope", "rope_"):
            with pytest.raises(OperandError, match=message):
                getattr(room, name)(**operands)
    assert torch.equal(operands["x"], before)


def test_torch_knows_the_operations():
    x, (cos, sin) = drawn(2, 2, 3, 8, dtype=torch.float32), tables(3)
    position_ids = torch.tensor([[0, 2, 1]])
    leaf = x.clone().requires_grad_()
    torch.library.opcheck(torch.ops.fg_kernels.rope.default, (leaf, cos, sin, position_ids, True, False, "auto"))
    torch.library.opcheck(torch.ops.fg_kernels.rope_.default, (x, cos, sin, None, False, True, "auto"))


def test_fake_tensors_have_the_right_shape():
    with FakeTensorMode():
        x = torch.empty(2, 5, 3, 8, dtype=torch.bfloat16, requires_grad=True)
        cos, sin = torch.empty(5, 4), torch.empty(5, 4)
        turned = functional.rope_((x * 1).transpose(1, 2), cos, sin)
        assert turned.shape == (2, 3, 5, 8) and turned.dtype == torch.bfloat16
        functional.rope(turned, cos, sin).sum().backward()
        assert x.grad.shape == (2, 5, 3, 8)


def test_compiled_without_a_break():
    cos, sin = tables(4)
    position_ids = torch.tensor([[0, 1, 2, 0, 1]])

    def layer(x):
        q = functional.rope_((x * 2).transpose(1, 2), cos, sin, position_ids=position_ids)
        return q + functional.rope(x.transpose(1, 2), cos, sin, interleaved=True)

    x = drawn(2, 5, 3, 8, dtype=torch.float32).requires_grad_()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layer(x))
    grad = drawn(2, 3, 5, 8, dtype=torch.float32, seed=1)
    wanted, got = (torch.autograd.grad(function(x), x, grad)[0] for function in (layer, compiled))
    torch.testing.assert_close(got, wanted)


def test_one_compilation_serves_sequences_of_all_lengths():
    cos, sin = tables(4)
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph

    turn = torch.compile(
        lambda x, position_ids: functional.rope(x, cos, sin, position_ids=position_ids), backend=backend, dynamic=True
    )
    for seq in (5, 6, 7):
        x = drawn(2, 3, seq, 8, dtype=torch.float32)
        for position_ids in (torch.arange(seq).repeat(2, 1), torch.arange(seq).repeat(1, 1)):
            torch.testing.assert_close(turn(x, position_ids), functional.rope(x, cos, sin))
    assert len(graphs) == 2  # one for each shape of position_ids
