"""Initial weights: the same bits whichever way the model is built."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from transformers import LlamaConfig

from fg_models import construct_model, materialize


def assert_same_weights(model, other):
    expected = dict(other.named_parameters())
    assert [name for name, _ in model.named_parameters()] == list(expected)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, expected[name]), name


@pytest.mark.parametrize("tied", [False, True])
def test_meta_construction_equals_direct_construction(build_targets, tmp_path, tied):
    config = build_targets(tmp_path / "m", "pretrained_config", tie_word_embeddings=tied)["pretrained_config"]
    torch.manual_seed(5)
    direct = construct_model(config)
    torch.manual_seed(6)
    meta = construct_model(config, device="meta")
    assert {parameter.device.type for parameter in meta.parameters()} == {"meta"}
    materialized = materialize(meta, seed=5)
    assert_same_weights(materialized, direct)
    assert (materialized.lm_head.weight is materialized.get_input_embeddings().weight) == tied
    ids = torch.randint(3, 300, (2, 9))
    assert torch.equal(materialized.eval()(ids).logits, direct.eval()(ids).logits)


def test_the_config_gives_trainers_a_function_that_builds_on_the_meta_device(build_targets, tmp_path):
    targets = build_targets(tmp_path / "m", "model_init", "pretrained_config")
    with torch.device("meta"):
        meta = targets["model_init"]()
    assert {parameter.device.type for parameter in meta.parameters()} == {"meta"}
    torch.manual_seed(5)
    assert_same_weights(materialize(meta, seed=5), construct_model(targets["pretrained_config"]))


def test_materializing_leaves_the_random_generators_alone(build_targets, tmp_path):
    meta = construct_model(build_targets(tmp_path / "m", "pretrained_config")["pretrained_config"], device="meta")
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    materialize(meta, seed=5)
    assert torch.initial_seed() == 9
    assert torch.equal(torch.rand(3), expected)


def test_init_does_not_depend_on_what_was_drawn_before_but_on_the_seed(build_targets, tmp_path):
    config = build_targets(tmp_path / "m", "pretrained_config")["pretrained_config"]
    torch.manual_seed(5)
    first = construct_model(config)
    torch.rand(1000)
    assert_same_weights(construct_model(config), first)
    torch.manual_seed(6)
    assert not torch.equal(construct_model(config).lm_head.weight, first.lm_head.weight)


def test_a_lower_precision_rounds_the_same_draws(build_targets, tmp_path):
    config = build_targets(tmp_path / "m", "pretrained_config")["pretrained_config"]
    full = materialize(construct_model(config, device="meta"), seed=5)
    half = materialize(construct_model(config, device="meta"), dtype="bfloat16", seed=5)
    assert torch.equal(half.lm_head.weight, full.lm_head.weight.to(torch.bfloat16))


def test_residual_projections_shrink_with_depth_and_gains_are_one(make_model):
    model = make_model(num_hidden_layers=8, hidden_size=128, intermediate_size=352)
    layer = model.causal_lm.layer_stack.layers[3]
    assert layer.attention.query_linear.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert layer.feedforward.down_proj.weight.std().item() == pytest.approx(0.02 / math.sqrt(16), rel=0.05)
    assert torch.equal(layer.attention_norm.weight, torch.ones(128))


def test_a_parameter_without_a_rule_is_named(make_model):
    model = make_model()
    model.causal_lm.extra = nn.ParameterDict({"gate": nn.Parameter(torch.zeros(2))})
    with pytest.raises(ValueError, match=r"no rule initialises causal_lm\.extra\.gate"):
        model.initialize_weights()


def test_models_of_transformers_are_constructed_and_materialized_too():
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=50, **sizes)
    direct = construct_model(config).eval()
    first, second = (materialize(construct_model(config, device="meta"), seed=5).eval() for _ in range(2))
    assert_same_weights(first, second)
    assert first.lm_head.weight.std().item() == pytest.approx(0.02, rel=0.1)
    direct.load_state_dict(first.state_dict())
    ids = torch.arange(20)[None]
    assert torch.equal(first(ids).logits, direct(ids).logits)  # the rotary buffers are not in the state
