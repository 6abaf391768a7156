"""Saved state whose tensors do not fit the parameters: refused before anything is loaded."""

import copy

import pytest
import torch

from fg_kernels.errors import StateMismatchError
from fg_kernels.optim import SGD, Adafactor, AdamW, Apollo, Muon

KINDS = {
    "adamw": (AdamW, {}, "exp_avg", (4, 6)),
    "adamw in 8 bits": (AdamW, {"state_dtype": "8bit"}, "exp_avg_sq_scale", (17,)),
    "sgd": (SGD, {"momentum": 0.9}, "momentum_buffer", (4, 6)),
    "muon": (Muon, {}, "momentum_buffer", (4, 6)),
    "adafactor, rows": (Adafactor, {}, "exp_avg_sq_row", (4,)),
    "adafactor, columns": (Adafactor, {}, "exp_avg_sq_col", (6,)),
    "adafactor, average": (Adafactor, {"first_moment": True}, "exp_avg", (4, 6)),
    "apollo, moment": (Apollo, {"rank": 2}, "exp_avg", (2, 6)),
    "apollo, projector": (Apollo, {"rank": 2}, "projector", (2, 4)),
    "apollo, length": (Apollo, {"rank": 2}, "step_length", ()),
}


def matrix(shape=(4, 6)) -> tuple[str, torch.nn.Parameter]:
    return "w", torch.nn.Parameter(torch.ones(shape))


def trained(kind, options, named):
    optimizer = kind([named], **options)
    named[1].grad = torch.linspace(-1, 1, named[1].numel()).view_as(named[1])
    optimizer.step()
    return optimizer


@pytest.mark.parametrize(("kind", "options", "key", "shape"), KINDS.values(), ids=KINDS)
def test_a_tensor_of_another_shape_is_refused_and_nothing_is_loaded(kind, options, key, shape):
    size = (64, 66) if "state_dtype" in options else (4, 6)  # smaller tensors keep no moments of 8 bits
    optimizer = trained(kind, options, matrix(size))
    saved = copy.deepcopy(optimizer.state_dict())
    assert tuple(saved["state"][0][key].shape) == shape
    saved["state"][0][key] = torch.ones(3, 5)
    saved["state"][0]["step"] = 7
    saved["param_groups"][0]["lr"] = 0.5
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(StateMismatchError, match=rf"saved {key} of 'w' has shape \(3, 5\), it must be "):
        optimizer.load_state_dict(saved)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"] and after["state"][0]["step"] == 1
    assert torch.equal(after["state"][0][key], before["state"][0][key])


@pytest.mark.parametrize("kind", [AdamW, Adafactor, Apollo, Muon])
def test_state_of_a_smaller_matrix_is_refused(kind):
    saved = trained(kind, {}, matrix((4, 4))).state_dict()
    with pytest.raises(StateMismatchError, match="'w' has shape"):
        kind([matrix((8, 8))]).load_state_dict(saved)


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (2, 3, 4), (5,), (), (0, 4)])
@pytest.mark.parametrize("kind", [AdamW, Adafactor, Apollo, SGD])
def test_state_of_the_same_shape_is_loaded(kind, shape):
    options = {"momentum": 0.9} if kind is SGD else {}
    saved = trained(kind, options, matrix(shape)).state_dict()
    optimizer = kind([matrix(shape)], **options)
    optimizer.load_state_dict(saved)
    for key, value in saved["state"][0].items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(optimizer.state_dict()["state"][0][key]))


def test_a_rank_that_was_saved_decides_the_shapes_of_apollo():
    optimizer = Apollo([matrix()], rank=1)
    optimizer.load_state_dict(trained(Apollo, {"rank": 3}, matrix()).state_dict())
    assert optimizer.param_groups[0]["rank"] == 3
