"""Bytes that eager computations move, against hand-counted ones."""

import pytest
import torch

from fg_kernels import AdamW
from fg_kernels.functional import sr_copy_
from fg_kernels.measuring.traffic import traffic_of, traffic_of_update

ELEMENTS = 1024 * 1024


def parameters_of(named):
    return [parameter for _, parameter in named]


def per_parameter(make):
    return traffic_of_update(make).moved / ELEMENTS


def test_each_argument_is_read_and_each_result_written():
    a, b = torch.ones(100), torch.ones(100, dtype=torch.bfloat16)
    traffic = traffic_of(lambda: a + b)
    assert (traffic.read, traffic.written, traffic.operations) == (400 + 200, 400, 1)


def test_in_place_reads_and_writes_and_copying_does_not_read_its_target():
    a, b = torch.ones(100), torch.ones(100)
    assert (lambda t: (t.read, t.written))(traffic_of(lambda: a.add_(b))) == (800, 400)
    assert (lambda t: (t.read, t.written))(traffic_of(lambda: a.copy_(b))) == (400, 400)
    assert (lambda t: (t.read, t.written))(traffic_of(lambda: a.zero_())) == (0, 400)


def test_views_are_free_and_broadcast_dimensions_are_read_once():
    a, row = torch.ones(10, 20), torch.ones(20)
    assert traffic_of(lambda: a.t()[2:].reshape(-1, 2).detach().view(-1)[3:]).moved == 18 * 10 * 4 * 2  # one copy
    assert traffic_of(lambda: a[3:].t()).moved == 0
    assert traffic_of(lambda: row.expand(10, 20) + a).moved == (20 + 200 + 200) * 4


def test_lists_of_tensors_are_counted():
    a, b = [torch.ones(10), torch.ones(5)], [torch.ones(10), torch.ones(5)]
    assert traffic_of(lambda: torch._foreach_add_(a, b)).moved == 15 * 4 * 3


def test_the_host_asking_for_a_value_is_counted():
    a = torch.ones(3)
    assert traffic_of(lambda: a.sum().item()).host_reads == 1
    assert traffic_of(lambda: a + 1).host_reads == 0


def test_the_body_of_our_operations_is_counted():
    """At the least the source is read and the target written; the noise of the reference comes on top."""
    dst, src = torch.zeros(4096, dtype=torch.bfloat16), torch.ones(4096)
    traffic = traffic_of(lambda: sr_copy_(dst, src, seed=0, name="w", step=1))
    assert "copy_" in traffic.by_operation and "__xor__" in traffic.by_operation
    assert traffic.moved > 6 * 4096
    assert torch.equal(dst, torch.ones(4096, dtype=torch.bfloat16))


@pytest.mark.parametrize(
    ("options", "expected"), [({"foreach": False}, 42), ({"foreach": True}, 42), ({"fused": True}, 14)]
)
def test_torchs_adamw(options, expected):
    """For-loop: mul_ 4, lerp_ 6, mul_ 4, addcmul_ 8, sqrt 4, div 4, add_ 4, addcdiv_ 8; fused: seven streams."""
    moved = per_parameter(lambda named: torch.optim.AdamW(parameters_of(named), **options))
    assert moved == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("foreach", "expected"), [(False, 34), (True, 38)])
def test_torchs_adafactor(foreach, expected):
    traffic = traffic_of_update(lambda named: torch.optim.Adafactor(parameters_of(named), foreach=foreach))
    assert traffic.moved / ELEMENTS == pytest.approx(expected, abs=0.1)
    assert traffic.host_reads >= 3


@pytest.mark.parametrize("relative", [True, False])
def test_transformers_adafactor(relative):
    transformers = pytest.importorskip("transformers")
    options = {} if relative else {"lr": 1e-3, "relative_step": False, "scale_parameter": False}
    moved = per_parameter(lambda named: transformers.Adafactor(parameters_of(named), **options))
    assert moved == pytest.approx(102, abs=0.2)


def test_our_plain_rule_never_asks_for_a_value():
    assert traffic_of_update(AdamW, shape=(64, 64)).host_reads == 0
