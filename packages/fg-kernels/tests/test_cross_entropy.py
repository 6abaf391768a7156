import math

import pytest
import torch
import torch.nn.functional as F

from fg_kernels import functional, reference
from fg_kernels.dispatch import use, which
from fg_kernels.errors import BackendError, HyperparameterError, OperandError

OPTIONS = [
    {},
    {"softcap": 2.0},
    {"z_loss": 0.01},
    {"label_smoothing": 0.1},
    {"logit_scale": 0.25},
    {"softcap": 3.0, "z_loss": 0.02, "label_smoothing": 0.2, "logit_scale": 1.5},
]


def rows(dtype=torch.float64, count=9, vocabulary=61):
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(count, vocabulary, generator=generator, dtype=torch.float64) * 3).to(dtype)
    target = torch.randint(0, vocabulary, (count,), generator=generator)
    target[2] = -100
    return logits, target


def definition(logits, target, *, softcap=None, z_loss=0.0, label_smoothing=0.0, logit_scale=1.0):
    """Losses, normalizers and the gradient of the sum of losses, by autograd."""
    leaf = logits.detach().clone().requires_grad_()
    seen = leaf * logit_scale
    if softcap is not None:
        seen = softcap * torch.tanh(seen / softcap)
    normalizer = seen.logsumexp(-1).masked_fill(target == -100, 0.0)
    loss = F.cross_entropy(seen, target, reduction="none", label_smoothing=label_smoothing) + z_loss * normalizer**2
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    return loss.detach(), normalizer.detach(), gradient


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
@pytest.mark.parametrize("module", [functional, reference])
def test_logits_become_their_gradient(module, options):
    logits, target = rows()
    loss, normalizer, gradient = definition(logits, target, **options)
    result = module.cross_entropy_(logits, target, **options)
    torch.testing.assert_close(result.loss, loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(result.normalizer, normalizer, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(logits, gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dtype", "step"), [(torch.bfloat16, 2.0**-8), (torch.float16, 2.0**-11)])
def test_narrow_logits_are_computed_in_fp32_and_rounded_once(dtype, step):
    logits, target = rows(dtype)
    loss, _, gradient = definition(logits.double(), target)
    result = functional.cross_entropy_(logits, target)
    assert result.loss.dtype == torch.float32 and logits.dtype == dtype
    torch.testing.assert_close(result.loss.double(), loss, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(logits.double(), gradient, rtol=step, atol=1e-7)


def test_an_ignored_row_may_hold_anything():
    logits, target = rows()
    logits[2] = float("nan")
    result = functional.cross_entropy_(logits, target)
    assert result.loss[2] == result.normalizer[2] == 0
    assert torch.equal(logits[2], torch.zeros(61, dtype=torch.float64)) and logits.isfinite().all()


def test_a_row_of_nan_has_no_loss_and_leaves_the_others_alone():
    logits, target = rows()
    logits[4] = float("nan")
    result = functional.cross_entropy_(logits, target)
    assert result.loss.isnan().tolist() == [row == 4 for row in range(9)]


def test_a_row_without_a_possible_class_has_no_loss_but_a_normalizer():
    logits, target = rows()
    logits[4] = -torch.inf
    wanted = logits.logsumexp(-1)[4]
    result = functional.cross_entropy_(logits, target)
    assert wanted == -torch.inf and result.normalizer[4] == wanted
    assert result.loss.isnan().tolist() == [row == 4 for row in range(9)]


def test_a_view_of_some_columns_is_overwritten_and_nothing_beside_it():
    whole = torch.full((9, 100), 7.0, dtype=torch.float64)
    logits, target = rows()
    whole[:, 20:81] = logits
    _, _, gradient = definition(logits, target)
    functional.cross_entropy_(whole[:, 20:81], target)
    torch.testing.assert_close(whole[:, 20:81], gradient, rtol=1e-12, atol=1e-12)
    assert (whole[:, :20] == 7).all() and (whole[:, 81:] == 7).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda logits, target: (logits, target[:-1]), r"got \(9, 61\), \(8,\)"),
        (lambda logits, target: (logits[:, :0], target), r"got \(9, 0\)"),
        (lambda logits, target: (logits, target.int()), "int64"),
        (lambda logits, target: (logits.long(), target), "floating point"),
        (lambda logits, target: (torch.zeros(61, 9).t(), target), "side by side"),
        (lambda logits, target: (logits[:1].expand(9, 61), target), "side by side"),
        (lambda logits, target: (logits, target.to("meta")), "target is on meta"),
        (lambda logits, target: (logits, target + 61 * (target == target[0])), "is neither a class, 0 to 60"),
    ],
)
@pytest.mark.parametrize("module", [functional, reference])
def test_what_does_not_fit_is_refused_before_anything_is_written(module, change, message):
    logits, target = change(*rows())
    before = logits.clone()
    with pytest.raises(OperandError, match=message):
        module.cross_entropy_(logits, target)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("shape", [(1, 5), (4, 1)])
def test_the_stride_of_what_there_is_but_one_of_means_nothing(shape):
    logits = torch.randn(shape[::-1], dtype=torch.float64).t()
    target = torch.zeros(shape[0], dtype=torch.int64)
    loss, _, gradient = definition(logits, target)
    torch.testing.assert_close(functional.cross_entropy_(logits, target).loss, loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(logits, gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "option",
    [
        {"z_loss": -1.0},
        {"z_loss": math.inf},
        {"softcap": math.inf},
        {"softcap": -2.0},
        {"logit_scale": math.nan},
        {"logit_scale": -math.inf},
        {"label_smoothing": math.nan},
    ],
    ids=str,
)
def test_numbers_outside_their_range_are_refused_by_name(option):
    logits, target = rows()
    ((name, value),) = option.items()
    with pytest.raises(HyperparameterError, match=f"{name}={value}"):
        functional.cross_entropy_(logits, target, **option)


def test_who_computes_and_why():
    logits, target = rows()
    assert which("cross_entropy_", logits).backend == "reference"
    with use("auto", strict=True), pytest.raises(BackendError, match="float64"):
        functional.cross_entropy_(logits, target)
