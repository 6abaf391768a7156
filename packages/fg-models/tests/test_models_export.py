"""A model directory: its source stands alone, and it is rebuilt exactly when its inputs change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from fg_checkpoint import CheckpointStore, SharingPattern, StateComponent
from fg_models import (
    ModelDirectoryError,
    ModelSource,
    OutputOfAnotherModelError,
    SourceError,
    blocks_directory,
    collect_source,
    construct_model,
    load_model,
    resolve_checkpoint,
)

BLOCKS = ["attention", "causal_lm", "causal_loss", "causal_mask", "glu_feedforward", "init_weights", "input_encoder"]
BLOCKS += ["layer_stack", "pre_ln_layer", "rms_norm", "rotary"]

LOAD_ALONE = """
    import sys
    class Refuse:
        def find_spec(self, name, path=None, target=None):
            if name.startswith("fg_") and not name.startswith("fg_model_source"):
                raise ImportError(f"{name} is not available here")
    sys.meta_path.insert(0, Refuse())
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    directory, ids_file, logits_file = sys.argv[1:]
    model = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    ids = torch.tensor([tokenizer("And God said", add_special_tokens=True)["input_ids"]])
    from safetensors.torch import save_file
    save_file({"ids": ids, "logits": model(ids).logits.detach()}, logits_file)
    assert not [name for name in sys.modules if name.split(".")[0].startswith("fg_")]
"""


@pytest.fixture
def built(build_targets, tmp_path):
    """build_again(**variables): the model in tmp_path/"model"; a later call is a later run with the same output."""
    directory = tmp_path / "model"

    def build_again(blocks="", **variables):
        return directory, build_targets(directory, "model", blocks=blocks, **variables)["model"]

    return build_again


def modification_times(directory):
    return {path.name: path.stat().st_mtime_ns for path in directory.iterdir() if not path.name.startswith(".")}


def test_the_directory_holds_source_config_and_tokenizer(built):
    directory, _ = built()
    names = {path.name for path in directory.iterdir()}
    assert {f"{block}.py" for block in BLOCKS} | {"llama.py", "config.json", "tokenizer.json"} <= names
    assert "fg_" not in "".join(path.read_text() for path in directory.glob("*.py"))
    config = json.loads((directory / "config.json").read_text())
    assert config["auto_map"]["AutoModelForCausalLM"] == "llama.DynamicLlamaForCausalLM"
    assert (config["hidden_size"], config["head_dim"], config["vocab_size"]) == (64, 16, 300)
    assert config["eos_token_id"] != config["pad_token_id"]


def test_the_source_reads_like_written_code(built):
    directory, _ = built()
    lines = [line for path in directory.glob("*.py") for line in path.read_text().splitlines()]
    assert max(map(len, lines)) <= 120
    assert '_no_split_modules = ["PreLNLayer"]' in (directory / "llama.py").read_text()
    assert r'[r"norm\.weight$", ones],' in (directory / "llama.py").read_text()


def test_loading_prints_nothing_where_there_is_no_terminal(built, capfd):
    directory, model = built()
    model.save_pretrained(directory / "weights")
    (directory / "weights" / "model.safetensors").rename(directory / "model.safetensors")
    capfd.readouterr()
    load_model(directory)
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.is_progress_bar_enabled()


@pytest.mark.parametrize("tied", [False, True])
def test_a_process_without_forgather_loads_it_and_computes_the_same(built, tokenizer, tmp_path, tied):
    directory, model = built(tie_word_embeddings=tied)
    model.save_pretrained(tmp_path / "weights")
    (tmp_path / "weights" / "model.safetensors").rename(directory / "model.safetensors")
    script = tmp_path / "load_alone.py"
    script.write_text(textwrap.dedent(LOAD_ALONE))
    environment = os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    result = tmp_path / "logits.safetensors"
    command = [sys.executable, str(script), str(directory), "-", str(result)]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path, timeout=120)
    there = load_file(result)
    torch.testing.assert_close(there["logits"], model.eval()(there["ids"]).logits, atol=1e-5, rtol=0)


def test_save_pretrained_and_from_pretrained_keep_weights_tie_and_source(built, tmp_path):
    _, model = built(tie_word_embeddings=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5)  # no longer what initialisation gives
    model.save_pretrained(tmp_path / "saved")
    assert "lm_head.weight" not in load_file(tmp_path / "saved" / "model.safetensors")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", trust_remote_code=True)
    assert again.lm_head.weight is again.get_input_embeddings().weight
    for (name, mine), (other_name, other) in zip(again.named_parameters(), model.named_parameters(), strict=True):
        assert name == other_name
        assert torch.equal(mine, other), name


def test_an_unchanged_config_writes_nothing(built):
    directory, _ = built()
    before = modification_times(directory)
    built()
    assert modification_times(directory) == before


def test_a_changed_config_without_weights_is_rebuilt(built):
    directory, _ = built()
    _, model = built(hidden_size=32, intermediate_size=64)
    assert json.loads((directory / "config.json").read_text())["hidden_size"] == 32
    assert model.lm_head.weight.shape == (300, 32)


FLAT_NORM = """
from torch import nn


class FlatNorm(nn.LayerNorm):
    def __init__(self, normalized_shape, eps):
        super().__init__(normalized_shape, eps=eps, bias=False)
"""


@pytest.fixture
def flat_norm_blocks(tmp_path):
    """Template blocks that take the norm from a file of the project."""
    project = tmp_path / "project_blocks"
    project.mkdir()
    (project / "flat_norm.py").write_text(FLAT_NORM)
    return f"""
[model_submodule_searchpath]
.define: &model_submodule_searchpath !list ["{project}"]

[layer_norm_factory]
.define: &layer_norm_factory !partial:.flat_norm:FlatNorm@layer_norm_factory
    normalized_shape: !var hidden_size
    eps: !var rms_norm_eps
"""


def test_changed_source_is_rebuilt_and_files_it_no_longer_uses_disappear(built, flat_norm_blocks):
    directory, _ = built()
    _, model = built(blocks=flat_norm_blocks)
    assert (directory / "flat_norm.py").is_file()
    assert not (directory / "rms_norm.py").exists()
    assert type(model.causal_lm.layer_stack.norm).__name__ == "FlatNorm"


def test_a_file_changed_by_hand_is_restored(built):
    directory, _ = built()
    original = (directory / "rotary.py").read_text()
    (directory / "rotary.py").write_text("broken")
    built()
    assert (directory / "rotary.py").read_text() == original


def test_an_interrupted_write_is_completed(built):
    directory, _ = built()
    (directory / "model_source.json").unlink()
    (directory / "attention.py").unlink()
    _, model = built()
    assert (directory / "attention.py").is_file()
    assert model(torch.ones(1, 4, dtype=torch.long)).logits.shape == (1, 4, 300)


def test_weights_of_another_model_are_never_mixed_with_a_new_config(built):
    directory, _ = built()
    checkpoint = directory / "checkpoints" / "checkpoint-7"
    checkpoint.mkdir(parents=True)
    old = json.loads((directory / "model_source.json").read_text())["hash"]
    with pytest.raises(OutputOfAnotherModelError) as caught:
        built(hidden_size=32, intermediate_size=64)
    message = str(caught.value)
    assert str(directory) in message
    assert old[:12] in message
    assert "checkpoint-7" in message
    assert "output_dir" in message
    assert json.loads((directory / "config.json").read_text())["hidden_size"] == 64
    built()  # the same model is still welcome


def test_weights_of_unknown_origin_are_refused(built, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"")
    with pytest.raises(OutputOfAnotherModelError, match="unknown origin"):
        built()


def test_ranks_that_build_at_once_agree(build_targets, tmp_path):
    directory = tmp_path / "model"
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(build_targets, directory, "pretrained_config") for _ in range(4)]
        configs = [job.result(timeout=120)["pretrained_config"] for job in jobs]
    assert len({config.to_json_string() for config in configs}) == 1
    assert construct_model(configs[0]).num_parameters() > 0


def test_a_missing_block_is_named_with_its_importer_and_a_near_match():
    with pytest.raises(SourceError, match=r"model\.py:1 imports \.rotari.*did you mean rotary"):
        collect_source("from .rotari import x\n", file_name="model.py", searchpath=[blocks_directory()])


def test_imports_from_outside_the_directory_are_refused():
    with pytest.raises(SourceError, match=r"model\.py:2 imports outside"):
        collect_source("\nfrom ..rotary import x\n", file_name="model.py", searchpath=[blocks_directory()])


def test_values_that_json_cannot_hold_are_refused(built):
    with pytest.raises(SourceError, match="plain data"):
        built(blocks="\n[model_config]\n    == super()\n    strange: !call:set []\n")


def test_load_model_loads_a_directory_with_weights(built, tmp_path):
    directory, model = built()
    model.save_pretrained(tmp_path / "weights")
    (tmp_path / "weights" / "model.safetensors").rename(directory / "model.safetensors")
    loaded, tokenizer = load_model(directory, dtype="bfloat16")
    assert not loaded.training
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight.to(torch.bfloat16))
    assert tokenizer.decode(tokenizer("light")["input_ids"], skip_special_tokens=True) == "light"
    assert load_model(directory)[0].dtype == torch.float32


def test_directories_of_one_name_load_their_own_source(build_targets, tmp_path, flat_norm_blocks):
    for place, blocks in (("a", ""), ("b", flat_norm_blocks), ("c", "")):
        directory = tmp_path / place / "model"
        model = build_targets(directory, "model", blocks=blocks)["model"].eval()
        save_file(model.state_dict(), directory / "model.safetensors", metadata={"format": "pt"})
        loaded, _ = load_model(directory)
        ids = torch.tensor([[3, 4, 5]])
        assert torch.equal(loaded(ids).logits, model(ids).logits)
        assert type(loaded.causal_lm.layer_stack.norm).__name__ == ("FlatNorm" if blocks else "RMSNorm")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such directory"),
        ([], "has no config.json"),
        (["config.json"], r"has no weights .*train the model first"),
        (["config.json", "checkpoints/checkpoint-3/x"], r"has no weights .*checkpoint-3"),
        (["config.json", "model.safetensors"], "has no tokenizer"),
    ],
)
def test_what_is_not_a_model_is_refused_with_the_reason(tmp_path, content, message):
    directory = tmp_path / "model"
    for name in content or ():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("{}")
    if content == []:
        directory.mkdir()
    with pytest.raises(ModelDirectoryError, match=message):
        load_model(directory)


def test_unknown_dtypes_are_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ModelDirectoryError, match="'flaot32' is not a torch dtype; use for example float32"):
        load_model(tmp_path, dtype="flaot32")


def test_no_checkpoint_is_an_error_and_a_path_is_taken_as_it_is(tmp_path):
    with pytest.raises(ModelDirectoryError, match="no checkpoint that verifies"):
        resolve_checkpoint(tmp_path)
    assert resolve_checkpoint(tmp_path, tmp_path) == tmp_path
    with pytest.raises(ModelDirectoryError, match="no such directory"):
        resolve_checkpoint(tmp_path, tmp_path / "missing")


def test_the_newest_checkpoint_that_verifies_is_resolved_and_loads(built):
    directory, model = built()
    extra = [path for path in directory.iterdir() if path.is_file() and not path.name.startswith(".")]
    store = CheckpointStore(directory / "checkpoints")
    component = StateComponent(key="model", stateful=model, pattern=SharingPattern.REPLICATED)
    for step in (3, 5):
        with torch.no_grad():
            model.lm_head.weight.fill_(step)
        store.save(step, [component], extra_files=extra)
    newest = resolve_checkpoint(directory)
    assert newest.name == "checkpoint-5"

    with (newest / "model.safetensors").open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\xff")
    intact = resolve_checkpoint(directory)
    assert intact.name == "checkpoint-3"
    loaded, _ = load_model(intact)
    assert torch.equal(loaded.lm_head.weight, torch.full((300, 64), 3.0))


def test_a_comment_or_a_docstring_does_not_make_another_model():
    first = ModelSource(
        main="m.py", files={"m.py": '"""One."""\n\nX = 1  # why\n\n\ndef f():\n    """Do."""\n    return "#"\n'}
    )
    second = ModelSource(main="m.py", files={"m.py": '"""Two\nlines."""\nX = 1\n# more\ndef f():\n    return "#"\n'})
    third = ModelSource(main="m.py", files={"m.py": 'X = 2\ndef f():\n    return "#"\n'})
    assert first.code_digests() == second.code_digests()
    assert first.code_digests() != third.code_digests()
