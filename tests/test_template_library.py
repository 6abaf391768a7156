"""Every template of the library renders in a project of its own, and what can be built cheaply is built."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fg_config import Project
from fg_config.distributions import template_directories
from fg_models import train_bpe
from fg_trainers import Trainer
from tools.workspace import load_workspace

TEXTS = [f"the {n}. bird sat on the {n}. branch and sang" for n in range(200)]
META = 'searchdir: ["{{ joinpath(project_dir, \'templates\') }}"]\ndefault_config: "the.yaml"\n'
SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
SPEC = re.compile(r"!(?:call|partial|factory|meta|singleton):([\w.]+):\w+")

NAMESPACE = """
-- set ns = namespace()
-- set ns.output_dir = joinpath(project_dir, 'output')
-- set ns.logging_dir = none
-- set ns.tokenizers_dir = joinpath(project_dir, 'tokenizers')
-- set ns.config_name = 'test'
-- set ns.config_description = 'a test'
"""
TRAINER_PARTS = """
.define: &model_init !var model_init
.define: &train_dataset [ [ 1, 2, 3 ] ]
.define: &eval_dataset ~
.define: &data_collator ~
.define: &trainer_callbacks []
.define: &optimizer ~
.define: &lr_scheduler ~
tokenizer: &tokenizer !var tokenizer
"""
DATASET_SPLITS = """
[train_dataset_split]
train_dataset_split: &train_dataset_split !call:fg_data_server:ListSource { texts: !var texts }

[validation_dataset_split]
validation_dataset_split: &validation_dataset_split !call:fg_data_server:ListSource { texts: !var texts }
"""
PARTS_OF_A_TRAINING = """
[datasets_definition]
train_dataset: &train_dataset [ [ 1, 2, 3, 4 ] ]
eval_dataset: &eval_dataset [ [ 1, 2, 3, 4 ] ]
"""


def included(template: str, before: str = "") -> str:
    return f"{NAMESPACE}{before}\n-- include '{template}'\n"


def extended(template: str, blocks: str = "") -> str:
    return f"-- extends '{template}'\n{blocks}\n"


def model(template: str, blocks: str = "", before: str = "") -> str:
    part = f"#---- the.model ----\n-- extends '{template}'\n\n[model_tokenizer]\ntokenizer: &tokenizer !var tokenizer\n"
    return f"{included('the.model', before)}\n{part}\n{blocks}\n"


STUB_MODEL = """
[model_constructor]
model: &model !call:dict { source: *model_code_writer }
"""
CONFIGS: dict[str, tuple[str, list[str]]] = {
    "config_type.yaml": (extended("config_type.yaml", "[main_body]\nx: &x 1\n\n[main_output]\nmain: *x\n"), ["main"]),
    "callbacks/base_callbacks.yaml": (included("callbacks/base_callbacks.yaml"), ["trainer_callbacks"]),
    "callbacks/loggers.yaml": (included("callbacks/loggers.yaml"), ["trainer_callbacks", "experiment_info"]),
    "datasets/dataset_type.yaml": (
        extended("datasets/dataset_type.yaml", "[main_body]\ntrain_dataset: &train_dataset [ 1 ]\n"),
        ["meta", "main"],
    ),
    "datasets/tokenized_dataset.yaml": (
        extended("datasets/tokenized_dataset.yaml", DATASET_SPLITS),
        ["train_dataset", "eval_dataset", "main"],
    ),
    "datasets/llm_dataset_project.yaml": (
        included(
            "datasets/llm_dataset_project.yaml",
            "-- set ns.dataset_proj = project_dir\n-- set ns.dataset_config = 'rows.yaml'\n"
            ".define: &tokenizer !var tokenizer\n.define: &datasets_preprocessor_args { sequence_length: 16 }\n",
        ),
        ["train_dataset", "eval_dataset"],
    ),
    "models/base_language_model.yaml": (model("models/base_language_model.yaml", STUB_MODEL), ["model"]),
    "models/causal_lm/custom.yaml": (model("models/causal_lm/custom.yaml", STUB_MODEL), ["model"]),
    "models/causal_lm/custom_dynamic.yaml": (
        model(
            "models/causal_lm/custom_dynamic.yaml",
            "[model_bits]\nmodel_factory: &model_factory { causal_lm: !var x }\n\n"
            "[model_constructor]\nmodel: !call:str [ *model_code_generator ]\n",
        ),
        ["model"],
    ),
    "models/causal_lm/from_pretrained_class.yaml": (
        model(
            "models/causal_lm/from_pretrained_class.yaml",
            "[model_meta_config]\n    == super()\n    -- set ns.model_config_cls = 'transformers:LlamaConfig'\n\n"
            "[model_config]\n    == super()\n    hidden_size: 32\n    num_hidden_layers: 1\n",
        ),
        ["model", "pretrained_config", "pretrained_tokenizer"],
    ),
    "models/causal_lm/from_pretrained_config.yaml": (
        included("models/causal_lm/from_pretrained_config.yaml", "-- set ns.model_source = saved\n"),
        ["tokenizer", "model"],
    ),
    "models/causal_lm/from_pretrained_model.yaml": (
        included("models/causal_lm/from_pretrained_model.yaml", "-- set ns.model_id_or_path = saved\n"),
        ["tokenizer", "model"],
    ),
    "models/causal_lm/import_model_project.yaml": (
        included(
            "models/causal_lm/import_model_project.yaml",
            "-- set ns.model_project_dir = project_dir\n-- set ns.model_project_config = 'lm.yaml'\n"
            "model_constructor_args: &model_constructor_args { tokenizer: !var tokenizer }\n",
        ),
        ["tokenizer", "model"],
    ),
    "models/model_type.yaml": (
        extended("models/model_type.yaml", "[model_definition]\nmodel: &model !call:dict []\n"),
        ["meta", "main"],
    ),
    **{
        f"models/transformers/{name}.yaml": (model(f"models/transformers/{name}.yaml"), ["model"])
        for name in ("dynamic_llama", "dynamic_causal_transformer", "llama", "gpt2")
    },
    "projects/causal_lm_def.yaml": (extended("projects/causal_lm_def.yaml"), ["meta", "main", "pretrained_config"]),
    "projects/lm_training_project.yaml": (extended("projects/lm_training_project.yaml"), ["main"]),
    "projects/base_finetune_proj.yaml": (
        extended(
            "projects/base_finetune_proj.yaml",
            "[config_metadata]\n    == super()\n    -- set ns.model_id_or_path = saved\n"
            "    -- set ns.default_dataset_proj = project_dir\n    -- set ns.default_dataset_config = 'rows.yaml'\n",
        ),
        ["main"],
    ),
    "projects/finetune_v2.yaml": (
        extended(
            "projects/finetune_v2.yaml",
            "[config_metadata]\n    == super()\n    -- set ns.model_id_or_path = saved\n",
        ),
        ["main"],
    ),
    "prompts/short_stories.yaml": (included("prompts/short_stories.yaml"), ["testprompts", "generation_config"]),
    "prompts/tiny_stories.yaml": (included("prompts/tiny_stories.yaml"), ["testprompts", "generation_config"]),
    **{  # what they learn from is on a hub: rendered, not built
        f"tokenizers/{name}.yaml": (included(f"tokenizers/{name}.yaml"), [])
        for name in ("tiny_2k", "tiny_8k", "wikitext/8k", "wikitext/32k")
    },
    "tokenizers/tokenizer_type.yaml": (
        extended(
            "tokenizers/tokenizer_type.yaml",
            "[tokenizer_trainer]\n.define: &tokenizer_trainer !call:dict { size: 300 }\n",
        ),
        ["meta", "main"],
    ),
    "tokenizers/bpe/bpe.yaml": (
        extended(
            "tokenizers/bpe/bpe.yaml",
            "[config_metadata]\n    == super()\n    -- set ns.vocab_size = 300\n\n"
            "[tokenizer_dataset]\n.define: &tokenizer_dataset !var texts\n",
        ),
        ["tokenizer"],
    ),
    "trainers/base_trainer.yaml": (included("trainers/base_trainer.yaml", TRAINER_PARTS), ["trainer"]),
    "trainers/trainer.yaml": (included("trainers/trainer.yaml", TRAINER_PARTS), ["trainer"]),
    "training_script/training_script_type.yaml": (
        extended(
            "training_script/training_script_type.yaml",
            f"{PARTS_OF_A_TRAINING}\n[model_definition]\nmodel_init: &model_init !var model_init\n"
            "tokenizer: &tokenizer !var tokenizer\n\n[trainer_definition]\n-- include 'trainers/trainer.yaml'\n",
        ),
        ["main"],
    ),
    "training_script/causal_lm/causal_lm.yaml": (
        extended(
            "training_script/causal_lm/causal_lm.yaml",
            f"{PARTS_OF_A_TRAINING}\n[construct_new_model]\nmodel_init: &model_init !var model_init\n"
            "tokenizer: &tokenizer !var tokenizer\n",
        ),
        ["main"],
    ),
}


def library() -> dict[str, Path]:
    roots = [resource.path for resource in template_directories()]
    return {path.relative_to(root).as_posix(): path for root in roots for path in sorted(root.rglob("*.yaml"))}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_bpe(TEXTS, vocab_size=300, model_max_length=64)


@pytest.fixture(scope="module")
def saved(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of transformers on disk."""
    from transformers import LlamaConfig, LlamaForCausalLM

    place = tmp_path_factory.mktemp("saved")
    sizes = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    LlamaForCausalLM(LlamaConfig(**{**SIZES, **sizes})).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@pytest.fixture
def project(tmp_path: Path, saved: Path) -> Callable[..., Project]:
    """project(text): a project in a workspace of its own whose config is `text`."""

    def make(text: str, **variables: Any) -> Project:
        configs = tmp_path / "templates" / "configs"
        configs.mkdir(parents=True)
        (tmp_path / "forgather_workspace").mkdir()
        (tmp_path / "meta.yaml").write_text(META)
        (tmp_path / "text.txt").write_text("\n\n".join(TEXTS))
        rows = DATASET_SPLITS.replace("!var texts", "[ a bird sang, a branch broke ]")
        (configs / "rows.yaml").write_text(extended("datasets/tokenized_dataset.yaml", rows))
        (configs / "lm.yaml").write_text(extended("projects/causal_lm_def.yaml"))
        (configs / "the.yaml").write_text(text)
        given = {**SIZES, "saved": str(saved), "data_file": str(tmp_path / "text.txt"), "vocab_size": 300}
        return Project("the.yaml", tmp_path, **{**given, **variables})

    return make


def test_every_template_has_a_config_here() -> None:
    assert set(CONFIGS) == set(library())


@pytest.mark.parametrize("template", CONFIGS)
def test_a_template_renders_and_what_it_defines_is_built(template: str, project, tokenizer) -> None:
    text, targets = CONFIGS[template]
    config = project(text, max_steps=2)
    assert config.warnings == []
    assert set(targets) <= set(config.graph.targets)
    built = config(targets, tokenizer=tokenizer, texts=TEXTS, model_init=lambda: None, x=None)
    assert set(built) == set(targets)
    assert all(value is not None for value in built.values())


@pytest.mark.parametrize("name", ["base_finetune_proj", "finetune_v2", "lm_training_project"])
def test_an_assembled_project_trains(name: str, project) -> None:
    text, _ = CONFIGS[f"projects/{name}.yaml"]
    trainer = project(text, max_steps=2, seq_len=32, batch_size=2, epochs=1)("trainer")
    assert isinstance(trainer, Trainer)
    output = trainer.train()
    assert output.global_step == 2
    assert (Path(trainer.args.output_dir) / "config.json").is_file()


@pytest.mark.parametrize("name", ["base_finetune_proj", "finetune_v2"])
def test_a_finetuned_model_is_named_and_its_trainer_changed_by_the_config(name: str, project) -> None:
    text, _ = CONFIGS[f"projects/{name}.yaml"]
    changed = (
        f"#-------- this.trainer --------\n-- extends '{name}.trainer'\n\n[trainer_args]\n    == super()\n    seed: 7\n"
    )
    graph = project(f"{text}    -- set ns.model_name = 'chatty'\n\n{changed}").graph
    assert Path(graph.at("meta.output_dir")).name == "chatty"
    assert (graph.at("trainer_args.seed"), graph.at("trainer_args.lr_scheduler_type")) == (7, "cosine")


def test_a_finetuned_model_without_a_name_is_called_after_its_origin(project) -> None:
    text, _ = CONFIGS["projects/base_finetune_proj.yaml"]
    graph = project(text.replace("= saved", "= 'hub/tiny'")).graph
    assert Path(graph.at("meta.output_dir")).name == "tiny_finetuned"


def test_flags_and_variables_of_a_language_model_become_a_schedule(project) -> None:
    text, _ = CONFIGS["projects/lm_training_project.yaml"]
    sizes = {"seq_len": 100, "batch_size": 10, "gradient_accumulation_steps": 2, "batch_density": 1.0}
    tokens = {"total_tokens": 1, "warmup_tokens": 0.1, "min_cooldown_tokens": 1.9, "base_logging_tokens": 0.02}
    config = project(text, **sizes, **tokens, lr=1.0e-3, base_batch_size=500, lr_alpha=0.5)
    assert config.graph.at("trainer_args.max_steps") == 500
    assert config.graph.at("trainer_args.logging_steps") == 10
    assert config.graph.at("lr_scheduler.total_steps") == 1000
    assert config.graph.at("lr_scheduler.warmup_steps") == 50
    assert config.graph.at("optimizer.optimizer_factory.lr") == pytest.approx(2.0e-3)


def test_a_group_of_the_optimizer_is_removed_by_a_child(project) -> None:
    text, _ = CONFIGS["projects/lm_training_project.yaml"]
    child = "[optimizer_groups]\n    == super()\n    no_decay: ~\n"
    groups = project(text + child, max_steps=1)("optimizer", "model")
    optimizer = groups[0](groups[1].named_parameters())
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1]


def specs() -> Iterator[tuple[str, str, str]]:
    for resource in template_directories():
        for path in sorted(resource.path.rglob("*.yaml")):
            for spec in SPEC.findall(path.read_text()):
                if not spec.startswith("."):
                    yield resource.distribution, path.name, spec.split(".")[0]


@pytest.mark.parametrize(("distribution", "template", "module"), sorted(set(specs())))
def test_a_distribution_ships_templates_it_can_resolve_alone(distribution: str, template: str, module: str) -> None:
    workspace = load_workspace()
    if distribution == "fg-cli" or module in sys.stdlib_module_names:
        return  # the command assembles whatever is installed beside it
    visible = workspace.visible(distribution)
    assert module in {each.import_name for each in visible} | {
        need.name for each in visible for need in each.requirements
    }
