"""Names of the original that configs may go on using."""

from __future__ import annotations

from pathlib import Path

import pytest

from fg_config import Project
from fg_config.building.resolver import resolve
from fg_config.distributions import aliases

CONFIG = """
tokenizer: &tokenizer !singleton:forgather.ml.tokenizer:TokenizerTrainer
    dataset: [ a, b, c ]
    output_dir: "{{ joinpath(project_dir, 'tokenizer') }}"
    vocab_size: 300
    model_max_length: 16
optimizer: !lambda:forgather.ml.optim.adamw:AdamW { lr: 0.5, bf16_stochastic_round: False }
collator: !call:forgather.ml.data_collator:DataCollatorForCausalLM []
callbacks: !list
    - !call:forgather.ml.trainer.callbacks:ProgressCallback []
    - !call:forgather.ml.trainer.callbacks:JsonLogger []
arguments: !call:forgather.ml.trainer:TrainingArguments { output_dir: out, max_steps: 3 }
other: !call:forgather:from_project
    project_dir: "{{ project_dir }}"
    config_template: other.yaml
    targets: value
"""


@pytest.mark.parametrize("name", sorted(aliases()))
def test_an_alias_leads_to_something_callable(name: str) -> None:
    assert name.startswith("forgather")
    assert callable(resolve(name))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "forgather_workspace").mkdir()
    configs = tmp_path / "templates" / "configs"
    configs.mkdir(parents=True)
    (tmp_path / "meta.yaml").write_text("name: old\n")
    (configs / "old.yaml").write_text(CONFIG)
    (configs / "other.yaml").write_text("value: !call:sum [ [ 1, 2 ] ]\n")
    return Project("old.yaml", tmp_path)


def test_a_project_that_uses_only_old_names_is_inspected_as_it_stands(project: Project) -> None:
    assert project.warnings == []
    assert project.graph.at("other").spec == "forgather:from_project"
    assert project.graph.at("optimizer").spec == "forgather.ml.optim.adamw:AdamW"


def test_a_project_that_uses_only_old_names_builds_our_classes(project: Project) -> None:
    import torch

    built = project(project.graph.targets)
    assert built.other == 3
    assert built.arguments.max_steps == 3
    assert [type(each).__name__ for each in built.callbacks] == ["ProgressCallback", "JsonLogger"]
    group = built.optimizer([torch.nn.Parameter(torch.ones(2))]).param_groups[0]
    assert (group["lr"], group["rounding"]) == (0.5, "nearest")
    assert built.tokenizer.run().decode([5]) != ""
