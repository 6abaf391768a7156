"""The templates of whole projects: a tokenizer to train, a model to build."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import fg_config
import fg_models
from fg_config import Project

META = """
searchdir: ["{{ joinpath(project_dir, 'templates') }}", %s]
default_config: "the.yaml"
"""
TOKENIZER_CONFIG = """
-- extends 'tokenizers/bpe/bpe.yaml'

[config_metadata]
    == super()
    -- set ns.vocab_size = 280
    -- set ns.model_max_length = 64

[tokenizer_dataset]
.define: &tokenizer_dataset !list [ "the light and the dark", "light upon the deep" ]
"""
MODEL_CONFIG = """
-- extends 'projects/causal_lm_def.yaml'
"""


@pytest.fixture
def make_project(tmp_path):
    """make_project(config): a project in a workspace of its own, with one config."""

    def make(config, **variables):
        folders = [Path(module.__file__).parent / "templates" for module in (fg_models, fg_config)]
        (tmp_path / "forgather_workspace").mkdir(exist_ok=True)
        configs = tmp_path / "project" / "templates" / "configs"
        configs.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / "meta.yaml").write_text(META % ", ".join(f'"{folder}"' for folder in folders))
        (configs / "the.yaml").write_text(config)
        return Project("the.yaml", tmp_path / "project", **variables)

    return make


def test_a_tokenizer_project_trains_a_tokenizer(make_project, tmp_path):
    project = make_project(TOKENIZER_CONFIG, output_dir=str(tmp_path / "tokenizer"))
    assert not project.warnings
    meta = project("meta")
    assert (meta["config_class"], meta["vocab_size"]) == ("type.tokenizer.bpe", 280)
    tokenizer = project("main").run()
    assert tokenizer.decode(tokenizer("light")["input_ids"], skip_special_tokens=True) == "light"
    assert project("tokenizer").get_vocab() == tokenizer.get_vocab()
    assert (tmp_path / "tokenizer" / "tokenizer.json").is_file()


def test_a_model_project_takes_its_sizes_from_dynamic_arguments(make_project, tmp_path, tokenizer):
    project = make_project(
        MODEL_CONFIG, output_dir=str(tmp_path / "m"), hidden_size=32, num_attention_heads=2, num_hidden_layers=1
    )
    assert not project.warnings
    assert {"hidden_size", "num_hidden_layers", "output_dir"} <= {argument.dest for argument in project.dynamic_args}
    assert project("meta")["config_class"] == "type.model"
    model, kept = project("model", "pretrained_tokenizer", tokenizer=tokenizer)
    assert kept is tokenizer
    assert model(torch.ones(1, 4, dtype=torch.long)).logits.shape == (1, 4, 300)
    assert (model.config.hidden_size, model.config.num_hidden_layers) == (32, 1)
