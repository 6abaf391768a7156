"""The exported Llama against transformers' own, and the promises of its forward pass."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen3Config, Qwen3ForCausalLM

from fg_models import ModelSettingsError, construct_model

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
RENAMES = {
    "model.embed_tokens": "causal_lm.input_encoder.embedding",
    "model.layers": "causal_lm.layer_stack.layers",
    "model.norm": "causal_lm.layer_stack.norm",
    "self_attn.q_proj": "attention.query_linear",
    "self_attn.k_proj": "attention.key_linear",
    "self_attn.v_proj": "attention.value_linear",
    "self_attn.o_proj": "attention.output_linear",
    "self_attn.q_norm": "attention.query_norm",
    "self_attn.k_norm": "attention.key_norm",
    "mlp": "feedforward",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "feedforward_norm",
}


def renamed(state):
    result = {}
    for name, value in state.items():
        for theirs, ours in RENAMES.items():
            name = name.replace(theirs, ours)
        result[name] = value
    return result


def twin(model, config_class, model_class, **extra):
    """transformers' model with the same config, and its weights copied into ours."""
    shared = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    shared += ("num_key_value_heads", "rms_norm_eps", "rope_parameters", "max_position_embeddings")
    torch.manual_seed(0)
    theirs = model_class(config_class(**{key: getattr(model.config, key) for key in shared}, **extra))
    assert not any(model.load_state_dict(renamed(theirs.state_dict())))
    return theirs


@pytest.mark.parametrize("key_value_heads", [4, 2, 1])
@pytest.mark.parametrize("rope", [None, LLAMA3_ROPE, LINEAR_ROPE], ids=["default", "llama3", "linear"])
def test_logits_loss_and_gradients_equal_those_of_transformers(make_model, rope, key_value_heads):
    keys = {"rope_parameters": rope} if rope else {}
    ours = make_model(num_key_value_heads=key_value_heads, **keys)
    theirs = twin(ours, LlamaConfig, LlamaForCausalLM)
    ids = torch.randint(3, 300, (2, 90))
    labels = ids.clone()
    labels[0, :20] = -100
    mine, other = ours(ids, labels=labels), theirs(ids, labels=labels)
    torch.testing.assert_close(mine.logits, other.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(mine.loss, other.loss, atol=1e-5, rtol=0)
    mine.loss.backward()
    other.loss.backward()
    gradients = renamed({name: parameter.grad for name, parameter in theirs.named_parameters()})
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-5, rtol=0)


def test_a_sliding_window_equals_mistral(make_model):
    ours = make_model(sliding_window=7).eval()
    theirs = twin(ours, MistralConfig, MistralForCausalLM, sliding_window=7).eval()
    ids = torch.randint(3, 300, (2, 40))
    torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, atol=1e-5, rtol=0)
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None, "pad_token_id": 2}
    assert torch.equal(ours.generate(ids, **options), theirs.generate(ids, **options))


def test_normalised_queries_and_keys_equal_qwen3(make_model):
    ours = make_model(qk_norm=True).eval()
    theirs = twin(ours, Qwen3Config, Qwen3ForCausalLM, head_dim=16).eval()
    ids = torch.randint(3, 300, (2, 40))
    torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, atol=1e-5, rtol=0)


def test_eager_and_fused_attention_agree_with_and_without_a_mask(make_model):
    fused, eager = make_model(), make_model(attn_implementation="eager")
    eager.load_state_dict(fused.state_dict())
    ids = torch.randint(3, 300, (2, 24))
    padding = torch.ones_like(ids)
    padding[0, :5] = 0
    for options in ({}, {"attention_mask": padding}):
        mine, other = fused(ids, **options).logits, eager(ids, **options).logits
        keep = padding.bool() if options else torch.ones_like(ids).bool()
        torch.testing.assert_close(mine[keep], other[keep], atol=1e-5, rtol=0)


def test_generation_with_cache_without_cache_and_left_padded_is_the_same(make_model):
    model = make_model().eval()
    prompts = [torch.randint(3, 300, (length,)) for length in (4, 9)]
    padded = torch.full((2, 9), 2)
    mask = torch.zeros(2, 9, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        padded[row, 9 - len(prompt) :] = prompt
        mask[row, 9 - len(prompt) :] = 1
    options = {"max_new_tokens": 15, "do_sample": False, "eos_token_id": None, "pad_token_id": 2}
    cached = model.generate(padded, attention_mask=mask, **options)[:, 9:]
    uncached = model.generate(padded, attention_mask=mask, use_cache=False, **options)[:, 9:]
    assert torch.equal(cached, uncached)
    for row, prompt in enumerate(prompts):
        assert torch.equal(model.generate(prompt[None], **options)[0, len(prompt) :], cached[row])


def test_a_prompt_in_pieces_through_the_cache_gives_the_logits_of_the_whole(make_model):
    model = make_model().eval()
    ids = torch.randint(3, 300, (2, 20))
    whole = model(ids).logits
    first = model(ids[:, :8], use_cache=True)
    second = model(ids[:, 8:], past_key_values=first.past_key_values)
    torch.testing.assert_close(torch.cat((first.logits, second.logits), dim=1), whole, atol=1e-5, rtol=0)


def test_a_static_cache_generates_the_same(make_model):
    model = make_model().eval()
    ids = torch.randint(3, 300, (1, 6))
    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 2}
    static = model.generate(ids, cache_implementation="static", disable_compile=True, **options)
    assert torch.equal(static, model.generate(ids, **options))


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_packed_documents_give_the_logits_of_separate_ones(shared_model, lengths):
    documents = [torch.randint(3, 300, (1, length)) for length in lengths]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    packed = shared_model(torch.cat(documents, dim=1), position_ids=positions).logits
    separate = torch.cat([shared_model(document).logits for document in documents], dim=1)
    torch.testing.assert_close(packed, separate, atol=1e-5, rtol=0)


def test_a_later_document_sends_no_gradient_to_an_earlier_one(shared_model):
    embedded = torch.randn(1, 10, 64, requires_grad=True)
    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4, 5]])
    shared_model(inputs_embeds=embedded, position_ids=positions).logits[:, 4:].sum().backward()
    assert embedded.grad is not None
    assert torch.count_nonzero(embedded.grad[:, :4]) == 0
    assert torch.count_nonzero(embedded.grad[:, 4:]) > 0


def test_hidden_states_projected_are_the_logits(make_model):
    model = make_model().eval()
    ids = torch.randint(3, 300, (2, 12))
    hidden = model(ids, return_hidden_states=True)
    assert model.can_return_hidden_states
    assert hidden.shape == (2, 12, 64)
    torch.testing.assert_close(model.get_output_embeddings()(hidden), model(ids).logits)
    torch.testing.assert_close(model(ids, logits_to_keep=3).logits, model(ids).logits[:, -3:])


@pytest.mark.parametrize("stride", [1, 2])
def test_gradient_checkpointing_recomputes_layers_and_keeps_the_gradients(make_model, stride):
    model = make_model(checkpoint_stride=stride)
    ids = torch.randint(3, 300, (2, 12))
    calls = []
    for index, layer in enumerate(model.causal_lm.layer_stack.layers):
        layer.register_forward_pre_hook(lambda *_, index=index: calls.append(index))

    def gradients():
        model.zero_grad()
        calls.clear()
        model(ids, labels=ids).loss.backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    plain = gradients()
    assert sorted(calls) == [0, 1, 2]
    # transformers renamed it; the old name warns.
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    recomputed = gradients()
    assert sorted(calls) == sorted([0, 1, 2, *range(0, 3, stride)])
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient)


def test_rotary_frequencies_survive_a_cast_to_half_precision(make_model):
    model = make_model()
    before = model.causal_lm.position_encoder(torch.arange(100)[None], torch.float32)
    after = model.to(torch.bfloat16).causal_lm.position_encoder(torch.arange(100)[None], torch.float32)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


def test_loss_divides_by_the_count_it_is_given(make_model):
    model = make_model().eval()
    ids = torch.randint(3, 300, (2, 12))
    mean = model(ids, labels=ids).loss
    torch.testing.assert_close(model(ids, labels=ids, num_items_in_batch=11).loss, mean * 22 / 11)


def test_what_the_model_does_not_collect_is_refused(shared_model):
    with pytest.raises(ValueError, match="hidden states of its layers"):
        shared_model(torch.ones(1, 3, dtype=torch.long), output_hidden_states=True)


def test_heads_that_do_not_divide_are_refused(make_model):
    with pytest.raises(ModelSettingsError, match="num_attention_heads=4 is not a multiple of num_key_value_heads=3"):
        make_model(num_key_value_heads=3)


@pytest.mark.parametrize(("heads", "head_dim"), [(5, 19), (97, 0)])
def test_heads_without_pairs_of_channels_are_refused_with_the_sizes(make_model, heads, head_dim):
    with pytest.raises(ModelSettingsError) as caught:
        make_model(hidden_size=96, num_attention_heads=heads, num_key_value_heads=heads)
    refused, sizes = str(caught.value).split("\n")
    assert refused.startswith(
        f"the model cannot be built: rotary positions turn pairs of channels, so {head_dim=} must"
    )
    assert "another num_attention_heads" in refused
    assert f"hidden_size=96, num_hidden_layers=3, num_attention_heads={heads}" in sizes
    assert re.search(r"rotary\.py:\d+\)$", sizes)
    assert caught.value.exit_code == 2


def test_a_mistake_outside_of_the_model_keeps_its_own_error(build_targets, tmp_path):
    config = build_targets(tmp_path / "m", "pretrained_config")["pretrained_config"]
    with pytest.raises(ValueError, match="is not supported") as caught:
        construct_model(config, attn_implementation="no_such")
    assert not isinstance(caught.value, ModelSettingsError)
