import math

import pytest
import torch

from fg_kernels.errors import HyperparameterError, OperandError, UnknownOptionError
from fg_kernels.functional import rope_frequencies, rope_tables

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 512,
}


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "linear", "factor": 2.5},
        {"rope_type": "dynamic", "factor": 4.0},
        YARN,
        YARN | {"beta_fast": 16.0, "beta_slow": 2.0, "truncate": False},
        YARN | {"factor": None, "mscale": 1.0, "mscale_all_dim": 0.7},
        YARN | {"attention_factor": 1.25},
        LLAMA3,
    ],
    ids=lambda scaling: "-".join(map(str, scaling.values())),
)
@pytest.mark.parametrize("partial", [1.0, 0.5])
def test_equal_to_transformers(scaling, partial):
    rope_utils = pytest.importorskip("transformers.modeling_rope_utils")
    transformers = pytest.importorskip("transformers")
    parameters = scaling | {"rope_theta": 5e5, "partial_rotary_factor": partial}
    config = transformers.LlamaConfig(
        hidden_size=256, num_attention_heads=4, head_dim=64, max_position_embeddings=4096, rope_parameters=parameters
    )
    for length in (None, 1000, 10_000):
        wanted, attention = rope_utils.ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, "cpu", seq_len=length)
        ours = rope_frequencies(
            64, theta=5e5, max_position=4096, scaling=scaling, length=length, partial_rotary_factor=partial
        )
        assert ours.inv_freq.dtype == torch.float32
        torch.testing.assert_close(ours.inv_freq, wanted, rtol=1e-6, atol=0)
        assert math.isclose(ours.attention_scaling, attention, rel_tol=1e-12)


def test_without_scaling_a_geometric_series():
    inv_freq, attention = rope_frequencies(8, theta=16.0)
    assert inv_freq.tolist() == [1.0, 0.5, 0.25, 0.125] and attention == 1.0
    assert torch.equal(rope_frequencies(8, scaling={"type": "default", "rope_theta": 16.0}).inv_freq, inv_freq)


def test_tables_hold_the_scaled_cosines():
    cos, sin = rope_tables(torch.tensor([math.pi / 2, math.pi]), 3, attention_scaling=2.0)
    torch.testing.assert_close(cos, torch.tensor([[2.0, 2.0], [0.0, -2.0], [-2.0, 2.0]]), rtol=0, atol=1e-6)
    torch.testing.assert_close(sin, torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("scaling", "error", "message"),
    [
        ({"rope_type": "yarm"}, UnknownOptionError, "Did you mean 'yarn'"),
        ({"rope_type": "linear", "faktor": 2.0}, UnknownOptionError, "Did you mean 'factor'"),
        ({"rope_type": "linear"}, HyperparameterError, "needs 'factor'"),
        ({"rope_type": "linear", "factor": 0.0}, HyperparameterError, "factor"),
        (LLAMA3 | {"low_freq_factor": 4.0}, HyperparameterError, "below high_freq_factor"),
    ],
)
def test_scalings_that_make_no_sense(scaling, error, message):
    with pytest.raises(error, match=message):
        rope_frequencies(64, scaling=scaling)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"theta": 1.0}, "theta=1.0"),
        ({"theta": -10.0}, "theta=-10.0"),
        ({"theta": math.nan}, "theta=nan"),
        ({"scaling": {"rope_type": "default", "rope_theta": 0.0}}, "theta=0.0"),
        ({"max_position": 0, "scaling": {"rope_type": "dynamic", "factor": 2.0}}, "max_position=0"),
    ],
)
def test_numbers_outside_their_range(numbers, message):
    with pytest.raises(HyperparameterError, match=message):
        rope_frequencies(64, **numbers)


def test_an_option_that_is_none_is_not_given():
    options = {"rope_type": "default", "rope_theta": None, "partial_rotary_factor": None}
    wanted = rope_frequencies(64, theta=5e5, partial_rotary_factor=0.5)
    got = rope_frequencies(64, theta=5e5, partial_rotary_factor=0.5, scaling=options)
    assert torch.equal(got.inv_freq, wanted.inv_freq)


def test_no_more_features_turn_than_there_are():
    with pytest.raises(OperandError, match="head_dim=64 rotates 128 features"):
        rope_frequencies(64, partial_rotary_factor=2.0)


@pytest.mark.parametrize("head_dim", [0, 7])
def test_only_whole_pairs_turn(head_dim):
    with pytest.raises(OperandError, match="even and positive"):
        rope_frequencies(head_dim)
