from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fg_kernels import reference
from fg_kernels.errors import HyperparameterError, OperandError, UnknownOptionError
from fg_kernels.functional import linear_cross_entropy


def plain_losses(x, weight, target, bias, *, softcap=None, z_loss=0.0, label_smoothing=0.0, logit_scale=1.0):
    """The definition, one loss per target, over full logits."""
    logits = F.linear(x, weight, bias) * logit_scale
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    flat, classes = logits.flatten(0, -2), target.flatten()
    losses = F.cross_entropy(flat, classes, reduction="none", label_smoothing=label_smoothing)
    return losses + torch.where(classes == -100, 0.0, z_loss * flat.logsumexp(-1) ** 2)


def operands(tokens=(4, 33), hidden=16, vocabulary=61, *, masked=0.2, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*tokens, hidden, generator=generator, dtype=torch.float64).to(dtype)
    weight = (torch.randn(vocabulary, hidden, generator=generator, dtype=torch.float64) * hidden**-0.5).to(dtype)
    bias = torch.randn(vocabulary, generator=generator, dtype=torch.float64).to(dtype)
    target = torch.randint(0, vocabulary, tokens, generator=generator)
    target[torch.rand(tokens, generator=generator) < masked] = -100
    return x, weight, bias, target


def value_and_gradients(loss: Callable[..., torch.Tensor], *tensors):
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    value = loss(*leaves)
    value.backward()
    return [value.detach(), *(leaf.grad for leaf in leaves)]


def assert_all_close(actual, expected, tolerance=1e-10):
    for got, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


OPTIONS = [
    {},
    {"softcap": 2.0},
    {"z_loss": 0.01},
    {"label_smoothing": 0.1},
    {"logit_scale": 0.25},
    {"softcap": 3.0, "z_loss": 0.02, "label_smoothing": 0.2, "logit_scale": 1.5},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "how", [{}, {"budget_mib": 0.02}, {"mode": "tiny"}, {"mode": "fast", "budget_mib": 0.02}], ids=str
)
def test_value_and_gradients_are_those_of_the_definition(options, reduction, how):
    x, weight, bias, target = operands()
    factors = torch.randn(target.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def ours(x, weight, bias):
        result = linear_cross_entropy(x, weight, target, bias=bias, reduction=reduction, **how, **options)
        return (result * factors).sum() if reduction == "none" else 3 * result

    def definition(x, weight, bias):
        losses = plain_losses(x, weight, target, bias, **options)
        if reduction == "none":
            return (losses * factors.flatten()).sum()
        return 3 * losses.sum() / ((target != -100).sum() if reduction == "mean" else 1)

    assert_all_close(value_and_gradients(ours, x, weight, bias), value_and_gradients(definition, x, weight, bias))


@settings(deadline=None, max_examples=120)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 14)),
    hidden=st.integers(1, 9),
    vocabulary=st.integers(2, 30),
    masked=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    biased=st.booleans(),
    options=st.fixed_dictionaries(
        {
            "mode": st.sampled_from(["auto", "fast", "tiny"]),
            "budget_mib": st.none() | st.floats(0.008, 0.05),
            "reduction": st.sampled_from(["sum", "none"]),
            "shift": st.integers(0, 1),
            "softcap": st.none() | st.floats(0.5, 30),
            "z_loss": st.sampled_from([0.0, 0.1]),
            "label_smoothing": st.sampled_from([0.0, 0.3]),
            "logit_scale": st.sampled_from([1.0, 0.3]),
        }
    ),
    seed=st.integers(0, 1000),
)
def test_neither_masks_nor_chunks_nor_modes_change_the_gradients(
    shape, hidden, vocabulary, masked, biased, options, seed
):
    """The reference goes through all logits, and autograd through it."""
    x, weight, bias, target = operands(shape, hidden, vocabulary, masked=masked, seed=seed)
    factors = torch.randn(target.shape, dtype=torch.float64)[..., options["shift"] :]

    def by(function):
        def loss(x, weight, bias):
            result = function(x, weight, target, bias=bias if biased else None, **options)
            return (result * (factors if options["reduction"] == "none" else 1)).sum() + 0 * bias.sum()

        return value_and_gradients(loss, x, weight, bias)

    assert_all_close(by(linear_cross_entropy), by(reference.linear_cross_entropy))


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
def test_the_reference_is_the_definition(options):
    x, weight, bias, target = operands()
    ours = reference.linear_cross_entropy(x, weight, target, bias=bias, reduction="none", **options)
    assert_all_close([ours.flatten()], [plain_losses(x, weight, target, bias, **options)])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_shift_is_the_slicing_one_would_write(reduction):
    x, weight, _, target = operands((3, 12))
    for shift in (0, 1, 2):
        shifted = linear_cross_entropy(x, weight, target, shift=shift, reduction=reduction)
        sliced = linear_cross_entropy(x[:, : 12 - shift], weight, target[:, shift:], reduction=reduction)
        assert shifted.shape == sliced.shape
        torch.testing.assert_close(shifted, sliced, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("mode", ["fast", "tiny"])
def test_an_ignored_position_may_hold_anything(mode, reduction):
    """Attention leaves NaN where every key is masked, which is where nothing is supervised."""
    x, weight, bias, target = operands((12,), masked=0.0)
    target[3] = -100
    broken = x.clone()
    broken[3] = float("nan")

    def run(x):
        def loss(x, weight, bias):
            return linear_cross_entropy(x, weight, target, bias=bias, reduction=reduction, mode=mode).sum()

        return value_and_gradients(loss, x, weight, bias)

    for clean, nan in zip(run(x), run(broken), strict=True):
        assert torch.equal(clean, nan)
    assert torch.equal(run(broken)[1][3], torch.zeros_like(x[3]))


@pytest.mark.parametrize("mode", ["fast", "tiny"])
def test_operands_may_lie_in_memory_as_they_like(mode):
    x, weight, bias, target = operands()

    def run(x, weight, bias, target):
        return value_and_gradients(
            lambda x, weight, bias: linear_cross_entropy(x, weight, target, bias=bias, mode=mode), x, weight, bias
        )

    apart = (
        x.transpose(0, 2).contiguous().transpose(0, 2),
        weight.t().contiguous().t(),
        bias.repeat_interleave(2)[::2],
    )
    assert not any(tensor.is_contiguous() for tensor in apart)
    assert_all_close(run(*apart, target.t().contiguous().t()), run(x, weight, bias, target))


def test_an_accumulation_wider_than_the_operands():
    x, weight, _, target = operands(dtype=torch.float32)
    loss = linear_cross_entropy(x, weight, target, acc_dtype=torch.float64)
    exact = F.cross_entropy(F.linear(x.double(), weight.double()).flatten(0, 1), target.flatten())
    torch.testing.assert_close(loss, exact, rtol=1e-12, atol=0)


def test_another_ignore_index():
    x, weight, _, target = operands(masked=0.0)
    ours = linear_cross_entropy(x, weight, target, ignore_index=7)
    torch.testing.assert_close(
        ours, F.cross_entropy(F.linear(x, weight).flatten(0, 1), target.flatten(), ignore_index=7)
    )


def test_only_the_gradients_that_are_wanted():
    x, weight, _, target = operands()
    weight.requires_grad_()
    linear_cross_entropy(x, weight, target).backward()
    assert x.grad is None and weight.grad is not None


def test_backward_twice_gives_the_same_gradient():
    x, weight, _, target = operands()
    x.requires_grad_()
    loss = 5 * linear_cross_entropy(x, weight, target)
    first, second = (torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mode", ["fast", "tiny"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_error_against_fp64(mode, dtype, reduction):
    """Loss within 1e-4, gradients no worse than 1.25 times those of the plain loss in the same dtype."""
    x, weight, _, target = operands((1024,), 128, 4000, dtype=dtype, masked=0.1)
    count = (target != -100).sum()

    def ours(x, weight):
        loss = linear_cross_entropy(x, weight, target, mode=mode, reduction=reduction, budget_mib=16)
        return loss if reduction == "mean" else loss / count

    def plain(x, weight):
        return F.cross_entropy(F.linear(x, weight).float(), target)

    check_errors(ours, plain, x, weight, target)


def test_error_against_fp64_at_the_size_of_a_model():
    x, weight, _, target = operands((8192,), 256, 32000, dtype=torch.bfloat16, masked=0.0)
    exact = torch.zeros((), dtype=torch.float64)
    for rows, targets in zip(x.split(1024), target.split(1024), strict=True):
        exact += F.cross_entropy(F.linear(rows.double(), weight.double()), targets, reduction="sum")
    with torch.no_grad():
        for mode in ("fast", "tiny"):
            ours = linear_cross_entropy(x, weight, target, mode=mode)
            assert ours.dtype == torch.float32
            assert abs(ours.double() - exact / 8192).item() < 1e-4


def check_errors(ours, plain, x, weight, target):
    exact = value_and_gradients(
        lambda x, weight: F.cross_entropy(F.linear(x, weight), target), x.double(), weight.double()
    )
    got, theirs = value_and_gradients(ours, x, weight), value_and_gradients(plain, x, weight)
    assert got[0].dtype == torch.float32
    assert abs(got[0].double() - exact[0]).item() < 1e-4
    for gradient, plain_gradient, wanted in zip(got[1:], theirs[1:], exact[1:], strict=True):
        assert gradient.dtype == x.dtype
        error, allowed = ((g.double() - wanted).norm() / wanted.norm() for g in (gradient, plain_gradient))
        assert error.item() <= 1.25 * allowed.item() + 1e-7


def test_a_long_sum_in_bf16_keeps_its_digits():
    """Accumulated in the operands' dtype this sum would be off by hundreds."""
    x, weight, _, target = operands((4096,), 16, 64, dtype=torch.bfloat16, masked=0.0)
    exact = F.cross_entropy(F.linear(x.double(), weight.double()), target, reduction="sum").item()
    for mode in ("fast", "tiny"):
        ours = linear_cross_entropy(x, weight, target, reduction="sum", mode=mode, budget_mib=0.25)
        assert abs(ours.item() - exact) < 0.01


def test_autocast_keeps_the_weight_gradient_in_fp32():
    x, weight, _, target = operands((256,), 32, 200, dtype=torch.float32)
    weight.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(x, weight, target)
    loss.backward()
    assert loss.dtype == weight.grad.dtype == torch.float32
    exact = F.cross_entropy(F.linear(x, weight.detach()), target)
    assert abs((loss - exact).item()) < 1e-3


@pytest.mark.parametrize("mode", ["fast", "tiny"])
def test_nothing_supervised_sums_to_zero_and_has_no_mean(mode):
    x, weight, _, target = operands((8,))
    x.requires_grad_()
    ignored = torch.full_like(target, -100)
    loss = linear_cross_entropy(x, weight, ignored, reduction="sum", mode=mode)
    loss.backward()
    assert loss.item() == 0 and torch.equal(x.grad, torch.zeros_like(x))
    assert linear_cross_entropy(x, weight, ignored, mode=mode).isnan()


@pytest.mark.parametrize("mode", ["fast", "tiny"])
def test_an_empty_batch(mode):
    x, weight, _, target = operands((0,))
    weight.requires_grad_()
    loss = linear_cross_entropy(x, weight, target, reduction="sum", mode=mode)
    loss.backward()
    assert loss.item() == 0 and torch.equal(weight.grad, torch.zeros_like(weight))
    assert linear_cross_entropy(x, weight, target, reduction="none", mode=mode).shape == (0,)


@pytest.mark.parametrize("wrong", [-1, 61, -101])
@pytest.mark.parametrize("function", [linear_cross_entropy, reference.linear_cross_entropy])
def test_a_target_that_is_no_class(function, wrong):
    x, weight, _, target = operands()
    target[1, 2] = wrong
    with pytest.raises(OperandError, match=rf"target {wrong} .* neither a class, 0 to 60, nor ignore_index=-100"):
        function(x, weight, target)


@pytest.mark.parametrize("mode", ["fast", "tiny"])
def test_classes_that_are_masked_out(mode):
    """A padded vocabulary, as wide as a tile and wider, has a bias of minus infinity."""
    x, weight, bias, target = operands((20,))
    bias[:40] = -torch.inf
    target = torch.where(target == -100, target, target % 21 + 40)

    def by(function):
        def loss(x, weight):
            return function(x, weight, target, bias=bias, mode=mode, budget_mib=0.008)

        return value_and_gradients(loss, x, weight)

    ours = by(linear_cross_entropy)
    assert all(tensor.isfinite().all() for tensor in ours)
    assert_all_close(ours, by(reference.linear_cross_entropy))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "fats"}, "valid: 'auto', 'fast', 'tiny'. Did you mean 'fast'"),
        ({"backend": "cuda"}, "valid: 'auto', 'cce', 'interpret', 'liger', 'quack', 'reference', 'torch', 'triton'"),
        ({"reduction": "avg"}, "valid: 'mean', 'none', 'sum'"),
    ],
)
def test_unknown_names_are_refused_with_the_valid_ones(options, message):
    x, weight, _, target = operands()
    with pytest.raises(UnknownOptionError, match=message):
        linear_cross_entropy(x, weight, target, **options)


def test_operands_that_do_not_fit_are_refused():
    x, weight, bias, target = operands()
    with pytest.raises(OperandError, match=r"weight \(16, 61\)"):
        linear_cross_entropy(x, weight.t(), target)
    with pytest.raises(OperandError, match=r"bias \(61,\), got \(60,\)"):
        linear_cross_entropy(x, weight, target, bias=bias[1:])
    with pytest.raises(OperandError, match="int64"):
        linear_cross_entropy(x, weight, target.int())
    with pytest.raises(OperandError, match="shift=34"):
        linear_cross_entropy(x, weight, target, shift=34)
    with pytest.raises(HyperparameterError, match="label_smoothing=1"):
        linear_cross_entropy(x, weight, target, label_smoothing=1.0)
    with pytest.raises(HyperparameterError, match="softcap=0 must be positive"):
        linear_cross_entropy(x, weight, target, softcap=0)
    with pytest.raises(OperandError, match="at least 1"):
        linear_cross_entropy(x, weight[:0], target)
    with pytest.raises(OperandError, match=r"x \(16,\)"):
        linear_cross_entropy(x[0, 0], weight, target[0, 0])


@pytest.mark.parametrize("function", [linear_cross_entropy, reference.linear_cross_entropy])
def test_dtypes_that_sums_and_logits_cannot_have_are_refused(function):
    x, weight, _, target = operands()
    for dtype in (torch.bfloat16, torch.float16, torch.int64):
        with pytest.raises(OperandError, match=rf"acc_dtype={dtype} must be torch.float32 or torch.float64"):
            function(x, weight, target, acc_dtype=dtype)
    with pytest.raises(OperandError, match=r"logits_dtype=torch.bfloat16 must be torch.float32, or None"):
        function(x, weight, target, logits_dtype=torch.bfloat16)


@pytest.mark.parametrize("mode", ["fast", "tiny"])
def test_logits_of_plain_torch_are_never_narrow(mode):
    x, weight, _, target = operands(dtype=torch.bfloat16)
    results = [
        value_and_gradients(partial(function, target=target, mode=mode, logits_dtype=dtype), x, weight)
        for function in (linear_cross_entropy, reference.linear_cross_entropy)
        for dtype in (None, torch.float32)
    ]
    for narrow, wide in (results[:2], results[2:]):
        assert all(torch.equal(one, other) for one, other in zip(narrow, wide, strict=True))
    torch.testing.assert_close(results[0][0], results[2][0], rtol=1e-6, atol=1e-6)
