"""A tiny Llama, made the way a user makes one: template → graph → source → directory → model."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
import torch

import fg_models
from fg_config import ConfigEnvironment, build

TEMPLATES = Path(fg_models.__file__).parent / "templates"
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 172,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
TEXTS = [
    "In the beginning God created the heaven and the earth.",
    "And the earth was without form, and void; and darkness was upon the face of the deep.",
    "And God said, Let there be light: and there was light.",
] * 20
QK_NORM = """
[qk_norm_factory]
.define: &qk_norm_factory !partial:.rms_norm:RMSNorm@qk_norm_factory
    eps: !var rms_norm_eps
"""


@pytest.fixture(scope="session")
def tokenizer():
    return fg_models.train_bpe(TEXTS, vocab_size=300, model_max_length=128)


@pytest.fixture(scope="session")
def build_targets(tokenizer):
    """build_targets(output_dir, *targets, blocks="", **variables): targets of a config that includes the Llama."""

    def build_them(output_dir, *targets, blocks="", **variables):
        environment = ConfigEnvironment(searchpath=[TEMPLATES])
        environment.add_template(
            "the.model",
            "-- extends 'models/transformers/dynamic_llama.yaml'\n\n"
            f"[model_tokenizer]\ntokenizer: &tokenizer !var tokenizer\n{blocks}\n",
        )
        loaded = environment.load_from_string(
            "-- set ns = namespace()\n-- set ns.output_dir = output_dir\n-- include 'the.model'\n",
            output_dir=str(output_dir),
            **{**SIZES, **variables},
        )
        return build(loaded.graph, targets, context={"tokenizer": tokenizer})

    return build_them


@pytest.fixture(scope="session")
def make_model(build_targets, tmp_path_factory):
    """make_model(**variables): a model with random weights, in training mode."""
    numbers = count()

    def make(*, rope_parameters=None, qk_norm=False, **variables):
        if rope_parameters:
            scaling = dict(rope_parameters)
            variables |= {"rope_theta": scaling.pop("rope_theta"), "rope_scaling": scaling}
        directory = tmp_path_factory.mktemp("model") / str(next(numbers))
        torch.manual_seed(1)
        blocks = QK_NORM if qk_norm else ""
        return build_targets(directory, "model", blocks=blocks, **variables)["model"].train()

    return make


@pytest.fixture(scope="session")
def shared_model(make_model):
    """One model in evaluation mode, for tests that leave it as it is."""
    return make_model().eval()
