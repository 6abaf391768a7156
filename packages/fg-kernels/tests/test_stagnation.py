"""Why bf16 weights need stochastic rounding: updates far below half a step of bf16 are lost without it."""

import pytest
import torch

from fg_kernels.optim import SGD, Adafactor, AdamW, Apollo, Muon, SinkGD

STEPS, SIDE, UPDATE = 300, 64, 4e-6

# Each rate makes one update of a weight about UPDATE, under a gradient of ones.
RATES = {
    SGD: {"lr": UPDATE, "momentum": 0.0},
    AdamW: {"lr": UPDATE, "eps": 0.0, "weight_decay": 0.0},
    Adafactor: {"lr": UPDATE, "weight_decay": 0.0},
    Muon: {"lr": UPDATE * SIDE, "weight_decay": 0.0},
    Apollo: {"lr": UPDATE * 2 * SIDE, "eps": 0.0},
    SinkGD: {"lr": UPDATE * SIDE},
}


def mean_after_training(kind, dtype, **options) -> float:
    weight = torch.nn.Parameter(torch.ones(SIDE, SIDE, dtype=dtype))
    optimizer = kind([("w", weight)], **RATES[kind], seed=1, **options)
    for _ in range(STEPS):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    return weight.detach().double().mean().item()


@pytest.mark.parametrize("kind", RATES, ids=lambda kind: kind.__name__)
def test_rounding_to_nearest_stands_still_and_stochastic_rounding_follows_the_exact_path(kind):
    exact = mean_after_training(kind, torch.float64)
    assert 2e-4 < 1 - exact < 2e-3
    assert mean_after_training(kind, torch.bfloat16, rounding="nearest") == 1.0
    # A weight is then at 1 or one step (2**-8) below; their mean has a standard deviation of at most 2**-9 / 64.
    assert abs(mean_after_training(kind, torch.bfloat16) - exact) < 4 * 2**-9 / SIDE


def test_with_adam_and_sgd_the_exact_path_is_the_sum_of_the_updates():
    for kind in (SGD, AdamW):
        assert abs(mean_after_training(kind, torch.float64) - (1 - STEPS * UPDATE)) < 1e-9
