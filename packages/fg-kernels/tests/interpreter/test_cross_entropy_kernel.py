import pytest
import torch

from fg_kernels import functional, reference
from fg_kernels.dispatch import use, which
from fg_kernels.errors import BackendError
from fg_kernels.triton import cross_entropy

# The interpreter takes the maximum of a row of NaN by numpy, which remarks on it.
pytestmark = pytest.mark.filterwarnings("ignore:All-NaN slice encountered")

OPTIONS = [
    {},
    {"softcap": 2.0},
    {"softcap": 30.0, "z_loss": 0.02, "label_smoothing": 0.2, "logit_scale": 1.5},
]


def rows(vocabulary, dtype=torch.float32):
    """The blocks of small vocabularies have 64 columns: less than one, one, and two and a bit."""
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(5, vocabulary, generator=generator) * 3).to(dtype)
    target = torch.randint(0, vocabulary, (5,), generator=generator)
    target[0], target[1], target[2] = 0, vocabulary - 1, -100
    logits[2] = float("nan")
    return logits, target


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
@pytest.mark.parametrize("vocabulary", [1, 61, 64, 150])
def test_the_kernel_computes_what_the_reference_does(vocabulary, options):
    ours, target = rows(vocabulary)
    wanted = ours.clone()
    assert which("cross_entropy_", ours).backend == "interpret"
    result = functional.cross_entropy_(ours, target, **options)
    expected = reference.cross_entropy_(wanted, target, **options)
    torch.testing.assert_close(result.loss, expected.loss, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(result.normalizer, expected.normalizer, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours, wanted, rtol=1e-6, atol=3e-6)
    assert torch.equal(ours[2], torch.zeros(vocabulary))


@pytest.mark.parametrize(("dtype", "step"), [(torch.bfloat16, 2.0**-7), (torch.float16, 2.0**-10)])
def test_narrow_logits_are_rounded_to_nearest(dtype, step):
    """At most one step apart: where fp32 differs in its last digit, a value may round to either side."""
    ours, target = rows(100, dtype)
    wanted = ours.clone()
    functional.cross_entropy_(ours, target)
    reference.cross_entropy_(wanted, target)
    torch.testing.assert_close(ours.float(), wanted.float(), rtol=step, atol=1e-7)
    assert (ours != wanted).float().mean() < 0.01


def test_logits_of_minus_infinity_have_no_share():
    """As wide as a block and wider, so that the running maximum begins without any number."""
    ours, target = rows(150)
    ours[:, :130] = -torch.inf
    target = torch.where(target == -100, target, target % 20 + 130)
    wanted = ours.clone()
    result = functional.cross_entropy_(ours, target)
    torch.testing.assert_close(result.loss, reference.cross_entropy_(wanted, target).loss, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours, wanted, rtol=1e-6, atol=1e-6)


def test_on_a_device_a_target_that_is_no_class_has_neither_loss_nor_gradient():
    """There the host does not look at targets; the kernel, given them, reads nothing out of bounds."""
    logits, target = rows(61)
    target[3] = 61
    result = cross_entropy.overwrite(logits, target, reference.cross_entropy.LossOptions(), None, logits)
    assert result.loss.isnan().tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("reduction", ["sum", "none"])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
def test_the_chunks_of_the_linear_loss(options, reduction):
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(20, 8, generator=generator), torch.randn(70, 8, generator=generator)
    target = torch.randint(0, 70, (20,), generator=generator)
    target[7] = -100
    leaves = x.requires_grad_(), weight.requires_grad_()

    def run(module):
        losses = module.linear_cross_entropy(*leaves, target, reduction=reduction, **options)
        factors = torch.arange(1.0, 1 + losses.numel()).view(losses.shape)
        return losses.detach(), *torch.autograd.grad((losses * factors).sum(), leaves)

    for ours, wanted in zip(run(functional), run(reference), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=2e-5, atol=2e-5)


def test_tiles_have_no_kernel_and_say_so():
    x, weight, target = torch.zeros(4, 2), torch.zeros(3, 2), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(BackendError, match="linear_cross_entropy/tiny: 'interpret' cannot be used"):
        functional.linear_cross_entropy(x, weight, target, mode="tiny")
    with use("reference"):
        functional.linear_cross_entropy(x, weight, target, mode="tiny")


def test_a_kernel_never_narrows_what_is_accumulated_in_fp64():
    x, weight, target = torch.zeros(4, 2), torch.zeros(3, 2), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(BackendError, match=r"not torch\.float64"):
        functional.linear_cross_entropy(x, weight, target, acc_dtype=torch.float64)


def test_liger_agrees():
    pytest.importorskip("liger_kernel")
    generator = torch.Generator().manual_seed(0)
    leaves = [torch.randn(*shape, generator=generator).requires_grad_() for shape in ((20, 8), (40, 8), (40,))]
    target = torch.randint(0, 40, (20,), generator=generator)
    target[3] = -100

    def run(function, **options):
        x, weight, bias = leaves
        loss = function(x, weight, target, bias=bias, z_loss=0.01, label_smoothing=0.1, **options)
        return loss.detach(), *torch.autograd.grad(loss, leaves)

    theirs = run(functional.linear_cross_entropy, backend="liger")
    for got, wanted in zip(theirs, run(reference.linear_cross_entropy), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)
