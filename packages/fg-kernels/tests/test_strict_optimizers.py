"""Optimizers where fallbacks are refused, and what is counted when an update fails."""

import pytest
import torch

from fg_kernels import dispatch
from fg_kernels.dispatch import fall_back, use
from fg_kernels.errors import BackendError, OperandError
from fg_kernels.optim import SGD, Adafactor, AdamW, Apollo, Muon, SinkGD

WITH_KERNEL, WITHOUT = [AdamW, SGD, Adafactor], [Muon, Apollo, SinkGD]


def built(kind, dtype=torch.bfloat16, strided=False, **options):
    parameter = torch.nn.Parameter(torch.ones(4, 4, dtype=dtype))
    gradient = torch.arange(16.0).view(4, 4).to(dtype)
    parameter.grad = gradient.t() if strided else gradient
    return kind([("w", parameter)], **options), parameter


@pytest.mark.parametrize(
    ("dtype", "strided", "message"),
    [
        (torch.bfloat16, False, "triton is not installed|the tensors are on cpu"),
        (torch.float64, False, "float64"),
        (torch.bfloat16, True, "not contiguous"),
    ],
)
@pytest.mark.parametrize("kind", WITH_KERNEL)
def test_a_strict_wish_refuses_the_plain_rule_before_anything_is_counted(kind, dtype, strided, message):
    optimizer, parameter = built(kind, dtype, strided)
    refused = f"{kind.kernel}: 'auto' cannot be used: .*({message})"
    with use("auto", strict=True), pytest.raises(BackendError, match=refused):
        optimizer.step()
    assert torch.equal(parameter, torch.ones_like(parameter)) and not optimizer.state[parameter]
    optimizer.step()
    assert optimizer.state[parameter]["step"] == 1


@pytest.mark.parametrize("kind", WITHOUT)
def test_what_has_no_kernel_is_refused_by_a_strict_wish(kind):
    optimizer, parameter = built(kind)
    message = f"{kind.__name__.lower()}: 'auto' cannot be used: there is no Triton kernel for it"
    with use("auto", strict=True), pytest.raises(BackendError, match=message):
        optimizer.step()
    assert not optimizer.state[parameter]


@pytest.mark.parametrize("kind", WITHOUT)
def test_a_kernel_that_does_not_exist_cannot_be_insisted_on(kind):
    with pytest.raises(BackendError, match=rf"{kind.__name__} has no kernel: fused=True cannot be kept"):
        built(kind, fused=True)
    results = []
    for fused in ("auto", False):
        optimizer, parameter = built(kind, fused=fused)
        optimizer.step()
        results.append(parameter.detach())
    assert torch.equal(*results)


@pytest.mark.parametrize("kind", WITH_KERNEL + WITHOUT)
def test_plain_torch_that_was_asked_for_is_no_fallback(kind):
    optimizer, parameter = built(kind, torch.float32, fused=False)
    with use("auto", strict=True):
        optimizer.step()
    other, reference = built(kind, strided=True)
    with use("reference", strict=True):
        other.step()
    assert optimizer.state[parameter]["step"] == other.state[reference]["step"] == 1


def test_the_rounding_of_a_plain_update_is_refused_before_it_is_counted():
    optimizer, parameter = built(AdamW, fused=False)
    with use("auto", strict=True), pytest.raises(BackendError, match="sr_copy_"):
        optimizer.step()
    assert not optimizer.state[parameter]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_obstacle_is_logged_once_on_cuda(caplog):
    dispatch._log_once.cache_clear()
    optimizer, parameter = built(AdamW)
    parameter.data, gradient = parameter.data.cuda(), parameter.grad
    parameter.grad = gradient.cuda().t()
    optimizer.step()
    optimizer.step()
    assert [record.getMessage() for record in caplog.records] == [
        "adamw runs in plain torch: it, its gradient or its state is not contiguous"
    ]


def test_an_obstacle_on_the_cpu_is_no_news(caplog):
    fall_back("adamw", "it is not contiguous", torch.ones(1))
    assert caplog.records == []


@pytest.mark.parametrize("capturable", [False, True])
def test_an_update_that_fails_and_those_after_it_are_not_counted(capturable):
    """The rule of the second of three parameters raises."""

    class Failing(SinkGD):
        def update_parameter(self, value, gradient, update):
            if update.name == "b" and self.failing:
                raise OperandError("no")
            super().update_parameter(value, gradient, update)

    named = [(name, torch.nn.Parameter(torch.ones(3))) for name in "abc"]
    optimizer = Failing(named, capturable=capturable)
    for _, parameter in named:
        parameter.grad = torch.ones(3)
    optimizer.failing = True
    with pytest.raises(OperandError):
        optimizer.step()
    assert [int(optimizer.state[parameter]["step"]) for _, parameter in named] == [1, 0, 0]
    optimizer.failing = False
    optimizer.step()
    assert [int(optimizer.state[parameter]["step"]) for _, parameter in named] == [2, 1, 1]


def test_a_projection_of_a_wrong_shape_is_not_counted():
    optimizer, parameter = built(Apollo, torch.float32, projector_factory=lambda *_: torch.ones(2, 2))
    with pytest.raises(OperandError, match="projector_factory made"):
        optimizer.step()
    assert optimizer.state[parameter] == {"step": 0} and torch.equal(parameter, torch.ones(4, 4))
