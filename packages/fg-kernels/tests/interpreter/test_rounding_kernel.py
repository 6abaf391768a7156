import pytest
import torch

from fg_kernels import functional, reference
from fg_kernels.dispatch import which
from fg_kernels.window import Window

SPECIAL = (0.0, -0.0, 1e-40, -1e-40, 3.4e38, -3.4e38, float("inf"), float("-inf"), float("nan"), 1.0, 1.00390625)


def values(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(count, generator=generator) * torch.exp2(torch.randint(-30, 30, (count,), generator=generator))
    drawn[: len(SPECIAL)] = torch.tensor(SPECIAL)[:count]
    return drawn


@pytest.mark.parametrize(
    "window",
    [Window(), Window(8), Window(5), Window(96, 10, 40), Window(3, 7, 9)],
    ids=lambda window: str(tuple(window)),
)
@pytest.mark.parametrize("count", [1, 8, 1000])
def test_the_kernel_has_the_bits_of_the_reference(count, window):
    source = values(count)
    key = {"seed": -(2**40) - 3, "name": "layers.0.weight", "step": 7, "window": window}
    ours, wanted = (torch.empty(count, dtype=torch.bfloat16) for _ in range(2))
    assert which("sr_copy_", ours).backend == "interpret"
    functional.sr_copy_(ours, source, **key)
    reference.sr_copy_(wanted, source, **key)
    assert torch.equal(ours.view(torch.int16), wanted.view(torch.int16))


def test_a_transposed_destination_gets_the_bits_of_its_own_order():
    source = values(60).view(6, 10)
    ours, wanted = (torch.empty(10, 6, dtype=torch.bfloat16).t() for _ in range(2))
    functional.sr_copy_(ours, source, seed=1, name="w", step=2)
    reference.sr_copy_(wanted, source, seed=1, name="w", step=2)
    assert torch.equal(ours.view(torch.int16), wanted.view(torch.int16))


def test_the_greatest_numbers_stay_finite_and_every_nan_is_the_same():
    edges = [0x7F7E8000, 0x7F7EFFFF, 0x7F7F0000, 0x7F7F0001, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC12345, 0x7FFFFFFF]
    bits = torch.tensor([sign | edge for edge in edges for sign in (0, -(2**31))], dtype=torch.int32).repeat(500)
    source, key = bits.view(torch.float32), {"seed": 3, "name": "w", "step": 1}
    ours, wanted = (torch.empty(bits.numel(), dtype=torch.bfloat16) for _ in range(2))
    functional.sr_copy_(ours, source, **key)
    reference.sr_copy_(wanted, source, **key)
    assert torch.equal(ours.view(torch.int16), wanted.view(torch.int16))
    assert ours.isfinite().equal(source.isfinite())
    assert (ours[source.isnan()].view(torch.int16) == 0x7FC0).all()
