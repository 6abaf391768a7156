"""The budget is a promise, measured where memory is allocated, and the products are those that were announced."""

import pytest
import torch
import torch.nn.functional as F

from fg_kernels._compat import run_body
from fg_kernels.errors import HyperparameterError
from fg_kernels.functional import linear_cross_entropy
from fg_kernels.measuring.memory import peak_bytes
from fg_kernels.reference._budget import Sizes, plan_for

MIB = 1 << 20


def operands(tokens, hidden, vocabulary, dtype=torch.bfloat16):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(tokens, hidden, generator=generator).to(dtype).requires_grad_()
    weight = (torch.randn(vocabulary, hidden, generator=generator) * hidden**-0.5).to(dtype).requires_grad_()
    return x, weight, torch.randint(0, vocabulary, (tokens,), generator=generator)


def nbytes(*tensors, itemsize=None):
    return sum(tensor.numel() * (itemsize or tensor.itemsize) for tensor in tensors)


def test_the_memory_of_a_computation_is_that_of_all_its_tensors():
    def run():
        first = torch.ones(MIB, dtype=torch.uint8)
        second = torch.ones(3 * MIB, dtype=torch.uint8)
        del first
        return torch.cat((second, torch.ones(MIB, dtype=torch.uint8)))

    assert peak_bytes(run) == 8 * MIB


def test_memory_inside_of_an_operation_counts():
    x, weight, target = operands(512, 8, 1024, torch.float32)
    logits = 512 * 1024 * 4
    assert logits <= peak_bytes(lambda: linear_cross_entropy(x, weight, target, budget_mib=3)) <= 3 * MIB


@pytest.mark.parametrize(
    ("vocabulary", "tokens", "budget", "way", "options"),
    [
        (32000, 1024, 96, "fast", {}),
        (32000, 2048, 192, "fast", {"softcap": 30.0, "label_smoothing": 0.1}),
        (32000, 2048, 16, "tiny", {"softcap": 30.0, "label_smoothing": 0.1}),
        (131072, 1024, 320, "fast", {}),
        (131072, 512, 64, "tiny", {"z_loss": 0.1}),
        (262144, 512, 600, "fast", {}),
        (262144, 512, 64, "tiny", {"softcap": 30.0}),
    ],
)
def test_the_budget_holds(vocabulary, tokens, budget, way, options):
    """Fast, the gradient of the weight exists in fp32; tiny, in its own dtype."""
    x, weight, target = operands(tokens, 16, vocabulary)
    losses = []

    def forward():
        losses.append(linear_cross_entropy(x, weight, target, budget_mib=budget, **options))

    gradients = nbytes(x) + nbytes(weight, itemsize=4 if way == "fast" else 2)
    assert budget * MIB / 4 < peak_bytes(forward) - gradients <= budget * MIB
    results = nbytes(x, weight)
    assert peak_bytes(lambda: torch.autograd.grad(losses[0], (x, weight))) - results <= 2 * MIB


@pytest.mark.parametrize("mode", ["fast", "tiny"])
def test_the_budget_holds_where_gradients_wait_for_the_backward_pass(mode):
    x, weight, target = operands(1024, 32, 20000, torch.float32)
    bias = torch.zeros(20000, requires_grad=True)
    losses = []

    def forward():
        losses.append(linear_cross_entropy(x, weight, target, bias=bias, mode=mode, budget_mib=24, reduction="none"))

    assert peak_bytes(forward) <= 24 * MIB
    total = losses[0].sum()
    taken = peak_bytes(lambda: torch.autograd.grad(total, (x, weight, bias)))
    assert taken - nbytes(x, weight, bias) <= 24 * MIB


def test_a_wide_layer_is_raised_by_parts():
    """A bf16 weight is raised to fp32 on the CPU, but never all of it."""
    x, weight, target = operands(64, 2048, 3000)
    weight.requires_grad_(False)
    assert peak_bytes(lambda: linear_cross_entropy(x, weight, target, budget_mib=8)) <= 8 * MIB < nbytes(weight)


def sizes(tokens=8192, vocabulary=128256, hidden=4096, **how):
    """On a CUDA device, by a kernel (fused), perhaps of fp32 logits (wide), or in plain torch."""
    return Sizes(tokens, vocabulary, hidden, torch.bfloat16, torch.float32, False, False, False, lent=True, **how)


@pytest.mark.parametrize(
    ("fused", "budget", "way"),
    [
        (False, 370, "tiny"),
        (False, 380, "fast"),
        (False, 2000, "fast"),
        (True, 125, "tiny"),
        (True, 126, "fast"),
        (True, 256, "fast"),
    ],
)
def test_auto_is_fast_from_512_tokens_on(fused, budget, way):
    plan = plan_for(sizes(fused=fused), "auto", budget)
    assert plan.mode == way and (way == "tiny" or plan.rows >= 512)


def test_256_mib_hold_1024_tokens_of_llama_3():
    """Logits of two bytes and nothing else that grows with the hidden size."""
    assert plan_for(sizes(fused=True), "auto", 256) == ("fast", 1024, 128256)
    assert plan_for(sizes(fused=True), "auto", None) == ("fast", 1024, 128256)


def test_wide_logits_of_a_kernel_take_six_bytes_with_their_gradient():
    cells = [sizes(fused=fused, wide=wide).chunk_cell for fused, wide in ((True, False), (True, True), (False, True))]
    assert cells == [2, 6, 6]
    capped = sizes(fused=True, wide=True)._replace(capped=True)
    assert capped.logits == torch.float32
    assert (capped.chunk_cell, capped.cell) == (6, 10)  # the kernel keeps no slopes of the cap
    rows = 256 * MIB // (6 * 128256)
    assert plan_for(capped, "fast", 256).rows in range(rows - 40, rows + 1)


@pytest.mark.parametrize(("vocabulary", "hidden"), [(32000, 4096), (128256, 4096), (256000, 2304)])
def test_tiles_of_64_mib_keep_tensor_cores_busy(vocabulary, hidden):
    """No side of a product is below 1024, and rows of tiles begin where 16 bytes do."""
    plan = plan_for(sizes(vocabulary=vocabulary, hidden=hidden), "tiny", None)
    assert min(plan.rows, plan.classes) >= 1024 and plan.classes % 128 == 0


@pytest.mark.parametrize("hidden", [512, 2048])
@pytest.mark.parametrize("options", [{}, {"softcap": 30.0, "label_smoothing": 0.1}])
def test_the_budget_of_tiles_holds_for_wide_layers(hidden, options):
    x, weight, target = operands(300, hidden, 1500, torch.float32)
    gradients = nbytes(x, weight)

    def forward():
        return linear_cross_entropy(x, weight, target, mode="tiny", budget_mib=3, **options)

    assert 2 * MIB < peak_bytes(forward) - gradients <= 3 * MIB


def test_by_default_a_chunk_has_1024_to_2048_tokens():
    assert plan_for(sizes(vocabulary=16000), "auto", None).rows == 2048
    assert plan_for(sizes(vocabulary=128256), "auto", None).rows == 1024
    assert plan_for(sizes(tokens=1030), "auto", None).rows == 515
    assert plan_for(sizes(vocabulary=65536, fused=True), "auto", None).rows == 2048
    assert plan_for(sizes(vocabulary=65537, fused=True), "auto", None).rows == 1024


@pytest.mark.parametrize("mode", ["auto", "fast", "tiny"])
def test_a_budget_that_cannot_be_kept_is_refused(mode):
    x, weight, target = operands(100, 16, 5000)
    with pytest.raises(HyperparameterError, match=r"budget_mib=0.003 is too small: 100 tokens"):
        linear_cross_entropy(x, weight, target, mode=mode, budget_mib=0.003)
    with pytest.raises(HyperparameterError, match="budget_mib=nan"):
        linear_cross_entropy(x, weight, target, mode=mode, budget_mib=float("nan"))


class Products(torch.utils._python_dispatch.TorchDispatchMode):
    """Adds up the multiplications of all matrix products."""

    def __init__(self):
        super().__init__()
        self.multiplications = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "fg_kernels":
            with self:
                return run_body(func, args[0], args, kwargs or {})
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm_):
            left, right = args[-2:]
            self.multiplications += left.shape[0] * left.shape[1] * right.shape[1]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("mode", "reduction", "forward", "both"),
    [("fast", "sum", 3, 3), ("tiny", "sum", 4, 4), ("fast", "none", 1, 4), ("tiny", "none", 1, 5)],
)
def test_products(mode, reduction, forward, both):
    x, weight, target = operands(96, 8, 100, torch.float32)
    one = 96 * 8 * 100
    with Products() as products:
        loss = linear_cross_entropy(x, weight, target, mode=mode, reduction=reduction, budget_mib=0.05)
    assert products.multiplications == forward * one
    with products:
        torch.autograd.grad(loss.sum(), (x, weight))
    assert products.multiplications == both * one
    with torch.no_grad(), Products() as products:
        linear_cross_entropy(x, weight, target, mode=mode, reduction=reduction)
    assert products.multiplications == one


def test_the_plain_loss_takes_all_logits():
    x, weight, target = operands(1024, 8, 4000, torch.float32)
    full = 1024 * 4000 * 4
    assert peak_bytes(lambda: F.cross_entropy(F.linear(x, weight), target)) >= 2 * full
