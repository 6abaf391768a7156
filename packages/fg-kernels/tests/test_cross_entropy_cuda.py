import pytest
import torch
import torch.nn.functional as F

from fg_kernels import functional, reference
from fg_kernels.dispatch import which
from fg_kernels.measuring.memory import peak_bytes

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

MIB = 1 << 20


def operands(tokens, hidden, vocabulary, dtype=torch.bfloat16):
    generator = torch.Generator("cuda").manual_seed(0)
    x = torch.randn(tokens, hidden, generator=generator, device="cuda").to(dtype)
    weight = (torch.randn(vocabulary, hidden, generator=generator, device="cuda") * hidden**-0.5).to(dtype)
    target = torch.randint(0, vocabulary, (tokens,), generator=generator, device="cuda")
    target[::9] = -100
    return x.requires_grad_(), weight.requires_grad_(), target


def by_rows_in_fp64(x, weight, target):
    """The mean loss and its gradients."""
    x, weight = (tensor.detach().double().requires_grad_() for tensor in (x, weight))
    count, total = (target != -100).sum(), 0.0
    for rows, targets in zip(x.split(1024), target.split(1024), strict=True):
        part = F.cross_entropy(F.linear(rows, weight), targets, reduction="sum") / count
        part.backward()
        total += part.detach()
    return total, x.grad, weight.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", [{}, {"softcap": 20.0, "z_loss": 0.01, "label_smoothing": 0.1, "logit_scale": 0.5}])
def test_the_kernel_computes_what_the_reference_does(options, dtype):
    pytest.importorskip("triton")
    logits = (torch.randn(64, 50_001, device="cuda") * 3).to(dtype)
    target = torch.randint(0, 50_001, (64,), device="cuda")
    target[5] = -100
    ours, wanted = logits.clone(), logits.clone()
    assert which("cross_entropy_", ours).backend == "triton"
    result = functional.cross_entropy_(ours, target, **options)
    expected = reference.cross_entropy_(wanted, target, **options)
    torch.testing.assert_close(result.loss, expected.loss, rtol=1e-5, atol=1e-5)
    step = {torch.float32: 1e-5, torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}[dtype]
    torch.testing.assert_close(ours.float(), wanted.float(), rtol=step, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize(("mode", "budget"), [("fast", None), ("fast", 256), ("tiny", 64)])
def test_error_at_the_size_of_a_model(mode, budget, backend, dtype):
    x, weight, target = operands(8192, 4096, 32000, dtype)
    exact = by_rows_in_fp64(x, weight, target)
    backend = "reference" if mode == "tiny" else backend
    loss = functional.linear_cross_entropy(x, weight, target, mode=mode, budget_mib=budget, backend=backend)
    ours = torch.autograd.grad(loss, (x, weight))
    plain = torch.autograd.grad(F.cross_entropy(F.linear(x, weight).float(), target), (x, weight))
    assert abs(loss.double() - exact[0]).item() < 1e-4
    for got, theirs, wanted in zip(ours, plain, exact[1:], strict=True):
        assert (got - wanted).norm() <= 1.25 * (theirs - wanted).norm()


@pytest.mark.parametrize(
    ("tokens", "hidden", "mode", "budget"),
    [(4096, 1024, "fast", 1024), (4096, 1024, "tiny", 64), (8192, 4096, "auto", 256), (8192, 4096, "tiny", 64)],
)
def test_the_budget_holds(tokens, hidden, mode, budget):
    """And is made use of; with 256 MiB for Llama 3 8B that means logits of two bytes."""
    pytest.importorskip("triton")
    x, weight, target = operands(tokens, hidden, 128256)
    functional.linear_cross_entropy(x, weight, target, mode=mode, budget_mib=budget)  # cuBLAS takes its workspace
    made = []

    def forward():
        made.append(functional.linear_cross_entropy(x, weight, target, mode=mode, budget_mib=budget))

    gradients = x.numel() * 2 + weight.numel() * (2 if mode == "tiny" else 4)
    assert budget * MIB / 4 < peak_bytes(forward, "cuda") - gradients <= budget * MIB


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_gradient_is_multiplied_in_fp32_without_a_copy(dtype):
    """A factor on the device would be rounded to the dtype of the gradient, if it had no dimensions."""
    scaled = torch.ops.fg_kernels.linear_cross_entropy_scaled
    gradient = (torch.randn(4096, 1024, device="cuda") * 1e-4).to(dtype)
    for factor in (torch.tensor(1 / 3, device="cuda"), torch.tensor(2.0**17, device="cuda")):
        made = []
        peak = peak_bytes(lambda factor=factor, made=made: made.append(scaled(gradient, factor, dtype)), "cuda")
        assert torch.equal(made[0], (gradient.float() * factor).to(dtype))
        assert made[0].isfinite().all() and peak <= gradient.numel() * 2 + (1 << 20)


@pytest.mark.parametrize("options", [{}, {"softcap": 20.0}])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_wide_logits_make_the_kernel_and_plain_torch_agree(dtype, options):
    """And the budget holds, which counts six bytes for a logit and its gradient."""
    pytest.importorskip("triton")
    x, weight, target = operands(2048, 256, 32000, dtype)
    how = {"logits_dtype": torch.float32, "mode": "fast", "budget_mib": 128, **options}
    made = []

    def forward():
        made.append(functional.linear_cross_entropy(x, weight, target, **how, backend="triton"))

    forward()  # cuBLAS takes its workspace
    gradients = x.numel() * 2 + weight.numel() * 4
    assert 64 * MIB < peak_bytes(forward, "cuda") - gradients <= 128 * MIB
    plain = functional.linear_cross_entropy(x, weight, target, **how, backend="reference")
    torch.testing.assert_close(made[-1], plain, rtol=2e-6, atol=0)
    ours, theirs = (torch.autograd.grad(loss, (x, weight)) for loss in (made[-1], plain))
    for got, wanted in zip(ours, theirs, strict=True):
        assert (got.float() - wanted.float()).norm() <= torch.finfo(dtype).eps * wanted.float().norm()


def test_nothing_waits_for_the_device():
    x, weight, target = operands(256, 64, 1000)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for mode in ("fast", "tiny"):
            loss = functional.linear_cross_entropy(x, weight, target, mode=mode)
            torch.autograd.grad(loss, (x, weight))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    ("backend", "module"), [("liger", "liger_kernel"), ("cce", "cut_cross_entropy"), ("quack", "quack")]
)
def test_other_libraries_agree(backend, module):
    pytest.importorskip(module)
    x, weight, target = operands(1024, 256, 8192)
    exact = by_rows_in_fp64(x, weight, target)
    loss = functional.linear_cross_entropy(x, weight, target, backend=backend)
    torch.testing.assert_close(loss.double(), exact[0], rtol=1e-2, atol=1e-2)
    for got, wanted in zip(torch.autograd.grad(loss, (x, weight)), exact[1:], strict=True):
        assert (got - wanted).norm() <= 0.02 * wanted.norm()


def test_a_repeated_run_has_the_same_bits():
    x, weight, target = operands(2048, 128, 32000)

    def run():
        loss = functional.linear_cross_entropy(x, weight, target, budget_mib=128)
        return loss, *torch.autograd.grad(loss, (x, weight))

    first, second = run(), run()
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
