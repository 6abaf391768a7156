"""Blocks of the transformer before Llama, each against the formula it implements."""

from __future__ import annotations

import math

import pytest
import torch

from fg_models.blocks.feedforward import FeedforwardLayer
from fg_models.blocks.sinusoidal import SinusoidalPositions


def test_positions_are_the_sines_and_cosines_of_the_paper():
    positions = SinusoidalPositions(8)(torch.tensor([[0, 5]]), torch.float32)
    assert positions.shape == (1, 2, 8)
    assert positions[0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    angles = [5 / 10000 ** (2 * i / 8) for i in range(4)]
    expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    assert positions[0, 1].tolist() == pytest.approx(expected, abs=1e-6)
    smaller = SinusoidalPositions(8, amplitude=0.5)(torch.tensor([[0, 5]]), torch.float32)
    torch.testing.assert_close(smaller, positions / 2)


def test_an_odd_width_has_no_pairs():
    with pytest.raises(ValueError, match="even hidden_size, not 7"):
        SinusoidalPositions(7)


def test_half_precision_rounds_the_result_and_not_the_frequencies():
    encoder = SinusoidalPositions(64)
    exact = encoder(torch.tensor([[3000]]), torch.float32)
    assert torch.equal(encoder.bfloat16()(torch.tensor([[3000]]), torch.bfloat16), exact.bfloat16())


def test_the_feedforward_layer_is_two_matrices_with_a_nonlinearity_between():
    layer = FeedforwardLayer(hidden_size=4, intermediate_size=6)
    x = torch.randn(2, 3, 4)
    hidden = torch.nn.functional.gelu(x @ layer.up_proj.weight.T + layer.up_proj.bias)
    torch.testing.assert_close(layer(x), hidden @ layer.down_proj.weight.T + layer.down_proj.bias)
