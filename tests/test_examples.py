"""The examples: every config of every project, and every command that a tutorial tells its reader to type."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fg_cli.main import main
from fg_config import Project, generate_code, list_configs
from fg_config.exporting.export_yaml import to_yaml
from fg_config.parsing.parse import parse_graph
from fg_config.provenance.lines import annotated
from fg_config.provenance.sites import Sites
from tools import markdown

EXAMPLES = Path(__file__).parent.parent / "examples"
TUTORIALS = EXAMPLES / "tutorials"


def configs() -> Iterator[tuple[str, str]]:
    for meta in sorted(EXAMPLES.rglob("meta.yaml")):
        for name in list_configs(meta.parent):
            yield meta.parent.relative_to(EXAMPLES).as_posix(), name


def project_of(place: str, config: str, **variables: Any) -> Project:
    return Project(config, EXAMPLES / place, **variables)


every_config = pytest.mark.parametrize(("place", "config"), list(configs()))


@every_config
def test_a_config_is_read_without_a_warning_and_says_what_it_is(place: str, config: str) -> None:
    project = project_of(place, config)
    assert project.warnings == []
    meta = project("meta")
    assert meta["config_name"] and meta["config_description"]
    assert meta["project_dir"] == str(EXAMPLES / place)


@every_config
def test_the_yaml_listing_of_a_config_is_the_same_graph(place: str, config: str) -> None:
    graph = project_of(place, config).graph
    assert parse_graph(to_yaml(graph.root)).to_json() == graph.to_json()


@every_config
def test_an_annotated_config_means_the_same(place: str, config: str) -> None:
    project = project_of(place, config)
    text = annotated(project.pp_config, Sites(project.render))
    assert text.count("  # ") > 20
    assert parse_graph(text, directory=EXAMPLES / place).to_json() == project.graph.to_json()


@every_config
def test_every_target_is_a_python_program(place: str, config: str) -> None:
    graph = project_of(place, config).graph
    for target in graph.targets:
        source = generate_code(graph.target(target))
        compile(source, f"{place}/{config}:{target}", "exec")


def test_the_program_of_a_target_makes_what_the_target_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    project = project_of("tutorials/projects_overview", "letters.yaml")
    monkeypatch.chdir(project.project_dir)
    namespace: dict[str, Any] = {}
    exec(compile(generate_code(project.graph.target("main")), "main.py", "exec"), namespace)
    verses = namespace["construct"]()()
    assert len(verses) == 3
    assert verses == project("main")()


# --- tutorials are walked through ---------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tutorials without anything an earlier run left there."""
    skip = shutil.ignore_patterns("output_models", "data", "__pycache__")
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=skip)
    monkeypatch.setenv("FORGATHER_CONFIG_DIR", str(tmp_path / "settings"))
    return tmp_path / "examples" / "tutorials"


def blocks(tutorial: str, language: str) -> list[str]:
    text = (TUTORIALS / tutorial / "README.md").read_text(encoding="utf-8")
    return [block.text for block in markdown.code_blocks(text) if block.info == language]


def commands(tutorial: str) -> list[list[str]]:
    """The `forgather` lines of the bash blocks, as words, without the comments behind them."""
    lines = [line.partition(" #")[0].split() for block in blocks(tutorial, "bash") for line in block.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["forgather"]]


def test_the_overview_shows_what_its_commands_print(workspace, monkeypatch, capsys) -> None:
    monkeypatch.chdir(workspace / "projects_overview")
    transcripts = blocks("projects_overview", "console")
    assert len(transcripts) == 5
    for transcript in transcripts:
        command, _, expected = transcript.partition("\n")
        assert main(command.removeprefix("$ forgather ").split()) == 0
        assert capsys.readouterr().out.strip() == expected.strip()


def test_the_other_commands_of_the_overview_work(workspace, monkeypatch, capsys) -> None:
    monkeypatch.chdir(workspace / "projects_overview")
    for command in commands("projects_overview"):
        assert main(command) == 0, command
        assert capsys.readouterr().out.strip()


def test_the_python_of_the_overview_runs(workspace, monkeypatch, capsys) -> None:
    monkeypatch.chdir(workspace / "projects_overview")
    (program,) = blocks("projects_overview", "python here")
    exec(compile(program, "README.md", "exec"), {})
    assert re.match(r"MarkovChain\(order=6, \d+ contexts\) .*project\.yaml:\d+", capsys.readouterr().out)


def test_the_commands_about_composition_work(workspace, monkeypatch, capsys) -> None:
    monkeypatch.chdir(workspace / "project_composition" / "training")
    for command in commands("project_composition"):
        if "train" not in command:
            assert main(command) == 0, command
            assert capsys.readouterr().out.strip()


def test_a_project_is_trained_on_the_targets_of_two_others(workspace) -> None:
    project = Project("few_sentences.yaml", workspace / "project_composition" / "training", max_steps=3)
    tokenizer, rows, dataset, trainer = project("tokenizer", "train_dataset", "eval_dataset", "trainer")
    assert trainer.train().global_step == 3
    assert trainer.processing_class is tokenizer
    assert "Ġpainter" in tokenizer.get_vocab()  # learned from the other project's sentences
    assert (rows.length(), dataset.length()) > (0, 0)
    assert (workspace / "project_composition" / "training" / "output_models" / "few_sentences" / "llama.py").is_file()


def test_a_dataset_alone_says_what_it_lacks(workspace, capsys) -> None:
    place = str(workspace / "project_composition" / "dataset")
    assert main(["-p", place, "construct", "--target", "train_dataset"]) == 2
    assert "tokenizer" in capsys.readouterr().err


# --- models whose parts are swapped -------------------------------------------------------------------------------

SWAPPED = {
    "llama": ("RotaryEmbedding", "LayerNorm"),
    "no_positions": ("RMSNorm", "RotaryEmbedding"),
    "absolute_positions": ("SinusoidalPositions", "RotaryEmbedding"),
    "layer_norm": ("LayerNorm", "RMSNorm"),
    "mlp": ("FeedforwardLayer", "GLUFeedforward"),
    "tied": ("GLUFeedforward", "FeedforwardLayer"),
    "qk_norm": ("query_norm.weight", "LayerNorm"),
    "own_part": ("ReLUSquared", "GELU"),
}


def test_every_model_has_its_test() -> None:
    assert {f"{name}.yaml" for name in SWAPPED} == set(list_configs(TUTORIALS / "dynamic_lm"))


@pytest.mark.parametrize("name", SWAPPED)
def test_a_config_swaps_one_part(name: str, workspace, tmp_path) -> None:
    import torch

    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"and the {n}. king reigned {n} years" for n in range(100)))
    project = Project(f"{name}.yaml", workspace / "dynamic_lm", data_file=str(text), vocab_size=300)
    model = project("model")
    kinds = {type(module).__name__ for module in model.modules()}
    parameters = {key.split("layers.0.attention.")[-1] for key, _ in model.named_parameters()}
    present, absent = SWAPPED[name]
    assert present in kinds | parameters
    assert absent not in kinds
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert tied == (name == "tied")
    assert model(torch.ones(1, 8, dtype=torch.long)).logits.isfinite().all()
    source = {path.name for path in Path(project("meta")["output_dir"]).glob("*.py")}
    assert ("glu_feedforward.py" in source) == (name not in ("mlp", "own_part"))
    assert ("relu_squared.py" in source) == (name == "own_part")


def test_a_swapped_model_learns(workspace, tmp_path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join("in the beginning was the word" for _ in range(400)))
    settings = {"data_file": str(text), "vocab_size": 300, "max_steps": 24, "seq_len": 32, "base_logging_tokens": 0.001}
    trainer = Project("own_part.yaml", workspace / "dynamic_lm", **settings)("trainer")
    trainer.prepare()
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before / 2
