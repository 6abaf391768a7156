import pytest
import torch
from torch.utils.checkpoint import checkpoint

from fg_kernels import RMSNorm, SwiGLU, add_rms_norm


def test_the_normalisation_of_llama_by_its_own_names():
    modeling = pytest.importorskip("transformers.models.llama.modeling_llama")
    theirs, ours = modeling.LlamaRMSNorm(8, eps=1e-5), RMSNorm(8, eps=1e-5)
    torch.nn.init.normal_(theirs.weight)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 8)
    torch.testing.assert_close(ours(x), theirs(x))
    normed, total = ours(x, x)
    assert torch.equal(total, 2 * x)
    torch.testing.assert_close(normed, theirs(2 * x))


def test_the_feed_forward_layer_of_llama_by_its_own_names():
    transformers = pytest.importorskip("transformers")
    modeling = pytest.importorskip("transformers.models.llama.modeling_llama")
    theirs = modeling.LlamaMLP(transformers.LlamaConfig(hidden_size=8, num_attention_heads=2, intermediate_size=12))
    ours, thrifty = SwiGLU(8, 12), SwiGLU(8, 12, inplace_backward=True)
    x = torch.randn(2, 3, 8)
    theirs(x).square().sum().backward()
    for layer in (ours, thrifty):
        layer.load_state_dict(theirs.state_dict())
        torch.testing.assert_close(layer(x), theirs(x))
        layer(x).square().sum().backward()
        for name, parameter in theirs.named_parameters():
            torch.testing.assert_close(layer.get_parameter(name).grad, parameter.grad)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_a_new_normalisation_multiplies_by_one(offset):
    layer = RMSNorm(4, weight_offset=offset, dtype=torch.bfloat16)
    x = torch.randn(3, 4)
    unit, total = add_rms_norm(x, torch.zeros_like(x), torch.ones(4))
    assert layer.weight.dtype == torch.bfloat16 and torch.equal(layer.weight, torch.full_like(layer.weight, 1 - offset))
    assert torch.equal(layer(x), unit) and torch.equal(total, x)
    assert "weight_offset" in repr(layer)


def test_gradients_over_the_operands_survive_checkpointing():
    layer = SwiGLU(8, 12, inplace_backward=True)
    x = torch.randn(2, 8, requires_grad=True)
    layer(x).square().sum().backward()
    wanted, x.grad = x.grad, None
    checkpoint(layer, x, use_reentrant=False).square().sum().backward()
    torch.testing.assert_close(x.grad, wanted)
