import pytest
import torch
import torch.nn.functional as F

from fg_kernels.functional import linear_cross_entropy, sr_copy_
from fg_kernels.optim import AdamW

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_rounding_has_the_bits_of_the_cpu():
    values = torch.randn(300_001)
    key = {"seed": 1, "name": "w", "step": 2}
    cpu = sr_copy_(torch.empty_like(values, dtype=torch.bfloat16), values, **key)
    cuda = sr_copy_(torch.empty_like(values, dtype=torch.bfloat16, device="cuda"), values.cuda(), **key)
    assert torch.equal(cpu, cuda.cpu())


def test_bf16_products_accumulate_in_fp32():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2048, 256, generator=generator).bfloat16()
    weight = (torch.randn(8000, 256, generator=generator) / 16).bfloat16()
    target = torch.randint(0, 8000, (2048,), generator=generator).cuda()

    def run(loss, dtype):
        leaves = [tensor.to("cuda", dtype).requires_grad_() for tensor in (x, weight)]
        value = loss(*leaves)
        value.backward()
        return [value.detach().double(), *(leaf.grad.double() for leaf in leaves)]

    ours = run(lambda x, weight: linear_cross_entropy(x, weight, target, budget_mib=16), torch.bfloat16)
    plain = run(lambda x, weight: F.cross_entropy(F.linear(x, weight).float(), target), torch.bfloat16)
    exact = run(lambda x, weight: F.cross_entropy(F.linear(x, weight), target), torch.float64)
    assert abs(ours[0] - exact[0]).item() < 1e-4
    for got, theirs, wanted in zip(ours[1:], plain[1:], exact[1:], strict=True):
        assert (got - wanted).norm() <= 1.25 * (theirs - wanted).norm()


def test_a_bf16_optimizer_steps_and_resumes_on_the_device():
    weight = torch.nn.Parameter(torch.ones(1000, device="cuda", dtype=torch.bfloat16))
    optimizer = AdamW([("w", weight)], lr=1e-3, eps=0.0, weight_decay=0.0)
    for _ in range(200):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    assert abs(weight.double().mean().item() - 0.8) < 1e-2
    other = AdamW([("w", weight)])
    other.load_state_dict(optimizer.state_dict())
    assert other.state[weight]["exp_avg"].device.type == "cuda"
