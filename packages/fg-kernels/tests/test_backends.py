"""Other libraries behind our function: parity where they run here, and what they refuse."""

import pytest
import torch
import torch.nn.functional as F

from fg_kernels import backends
from fg_kernels.dispatch import which
from fg_kernels.errors import BackendError, OperandError
from fg_kernels.functional import linear_cross_entropy
from fg_kernels.reference.linear_cross_entropy import LossOptions

needs_torchs_own = pytest.mark.skipif(not hasattr(F, "linear_cross_entropy"), reason="comes with torch 2.13")


def operands(dtype=torch.float32, tokens=600):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(tokens, 16, generator=generator).to(dtype).requires_grad_()
    weight = (torch.randn(50, 16, generator=generator) / 4).to(dtype).requires_grad_()
    target = torch.randint(0, 50, (tokens,), generator=generator)
    target[::7] = -100
    return x, weight, target


@needs_torchs_own
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("biased", [False, True])
def test_torchs_own_function_agrees_in_fp32(biased, reduction):
    x, weight, target = operands()
    bias = torch.linspace(-1, 1, 50) if biased else None

    def run(backend):
        losses = linear_cross_entropy(x, weight, target, bias=bias, reduction=reduction, backend=backend)
        return losses, *torch.autograd.grad(losses.sum(), (x, weight))

    for theirs, ours in zip(run("torch"), run("auto"), strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


@needs_torchs_own
def test_shift_and_ignore_index_reach_other_libraries():
    x, weight, target = operands(tokens=24)
    options = {"shift": 1, "ignore_index": 7, "reduction": "sum"}
    target = target.clamp(min=0).view(2, 12)
    ours, theirs = (
        linear_cross_entropy(x.view(2, 12, 16), weight, target, backend=backend, **options)
        for backend in ("auto", "torch")
    )
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("backend", "options", "refused"),
    [
        ("torch", {"softcap": 30.0, "z_loss": 0.1}, "torch cannot do softcap, z_loss"),
        ("torch", {"label_smoothing": 0.1}, "torch cannot do label_smoothing"),
        ("torch", {"mode": "tiny"}, "neither mode='tiny'"),
        ("torch", {"budget_mib": 64}, "budget_mib=64"),
        ("torch", {"acc_dtype": torch.float64}, "nor acc_dtype=torch.float64"),
        ("torch", {"logits_dtype": torch.float32}, "logits_dtype=torch.float32"),
    ],
)
@needs_torchs_own
def test_what_a_library_cannot_do_is_refused(backend, options, refused):
    x, weight, target = operands()
    with pytest.raises(BackendError, match=refused):
        linear_cross_entropy(x, weight, target, backend=backend, **options)


@pytest.mark.parametrize(
    ("library", "options", "refused"),
    [
        ("cut_cross_entropy", {"z_loss": 0.1, "logit_scale": 2.0}, "cut-cross-entropy cannot do z_loss, logit_scale"),
        ("cut_cross_entropy", {}, "cut-cross-entropy needs a CUDA device, not cpu"),
        ("liger", {"logit_scale": 2.0}, "liger cannot do logit_scale"),
        ("quack", {"softcap": 3.0}, "quack cannot do softcap"),
        ("quack", {}, "quack needs a CUDA device, not cpu"),
    ],
)
def test_adapters_refuse_before_they_import(library, options, refused):
    from importlib import import_module

    x, weight, target = operands()
    adapter = import_module(f"fg_kernels.backends.{library}")
    request = backends.Request(x=x, weight=weight, bias=None, target=target, options=LossOptions(**options), each=False)
    with pytest.raises(BackendError, match=refused):
        adapter.linear_cross_entropy(request)


@pytest.mark.parametrize("backend", ["cce", "liger", "quack"])
def test_a_library_that_is_not_installed_is_named(backend, monkeypatch):
    x, weight, target = operands()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BackendError, match=rf"backend '{backend}' needs the module '\w+', which is not installed"):
        linear_cross_entropy(x, weight, target, backend=backend)


def test_targets_are_checked_before_a_library_sees_them():
    x, weight, target = operands()
    target[3] = 50
    with pytest.raises(OperandError, match="target 50"):
        linear_cross_entropy(x, weight, target, backend="torch")


def test_other_libraries_are_no_choice_for_a_whole_process(monkeypatch):
    monkeypatch.setenv("FG_KERNELS_BACKEND", "torch")
    with pytest.raises(BackendError, match="'torch' is no backend for everything"):
        linear_cross_entropy(*operands())


def test_nobody_else_is_chosen_unasked():
    x, *_ = operands()
    assert which("linear_cross_entropy", x).backend == "reference"
    assert which("linear_cross_entropy", x, backend="torch").backend == "torch"
