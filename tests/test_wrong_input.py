"""Wrong input ends with one clear message and exit code 2, shows no traceback, and loses nothing."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SENTENCE = "The quick brown fox number {0} jumps over the lazy dog number {1}, and {2} more animals look on. "


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the tiny Llama project, on text of its own, with a run of two updates behind it."""
    root = tmp_path_factory.mktemp("examples")
    skip = shutil.ignore_patterns("output_models", "data")
    shutil.copytree(EXAMPLES, root, dirs_exist_ok=True, ignore=skip)
    directory = root / "tutorials" / "tiny_llama"
    texts = ["".join(SENTENCE.format(i, j, i * j) for j in range(30)) for i in range(80)]
    (directory / "data").mkdir()
    (directory / "data" / "king_james.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    result = forgather(directory, "train", "--max-steps", "2", "--save-steps", "1")
    assert result.returncode == 0, result.stderr
    return directory


def forgather(project: Path, *words: str, config: str | None = None) -> subprocess.CompletedProcess[str]:
    chosen = ["-t", config] if config else []
    return command("-p", str(project), *chosen, *words)


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fg_cli", *words], capture_output=True, text=True, timeout=240)


def refused(result: subprocess.CompletedProcess[str], *expected: str) -> None:
    """Exit code 2, each pattern in the message, no traceback."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    for pattern in expected:
        assert re.search(pattern, result.stderr), result.stderr


def write_config(project: Path, name: str, text: str) -> str:
    (project / "templates" / "configs" / name).write_text(text)
    return name


def snapshot(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_misspelt_config_names_the_nearest(project):
    refused(forgather(project, "train", config="v1.yml"), r"v1\.yml", r"v1\.yaml")


def test_an_unknown_dynamic_argument_names_the_nearest(project):
    refused(forgather(project, "train", "--max-step", "3"), r"--max-step\b", r"--max-steps")


def test_a_dynamic_argument_of_the_wrong_type(project):
    refused(forgather(project, "train", "--max-steps", "many"), r"--max-steps", "many")


def test_an_unknown_trainer_argument_names_the_line_and_the_nearest(project):
    text = (
        "-- extends 'project.yaml'\n\n"
        "[trainer_definition]\n    -- include 'wrong.trainer'\n\n"
        "#-------- wrong.trainer --------\n-- extends 'tiny_llama.trainer'\n\n"
        "[trainer_args]\n    == super()\n    max_stps: 3\n"
    )
    name = write_config(project, "unknown_argument.yaml", text)
    refused(forgather(project, "train", config=name), "max_stps", "max_steps")


def test_bad_yaml_names_file_and_line(project):
    name = write_config(project, "bad.yaml", "-- extends 'project.yaml'\n\n[optimizer]\noptimizer: [ 1, 2\n")
    refused(forgather(project, "train", config=name), r"bad\.yaml:4|project\.yaml:\d+")


def test_an_undefined_name_in_a_template(project):
    name = write_config(project, "undefined.yaml", "-- extends 'project.yaml'\n\n[optimizer]\nlr: {{ ns.max_stps }}\n")
    refused(forgather(project, "train", config=name), r"undefined\.yaml:4", "max_stps")


def test_a_missing_dataset(project):
    refused(forgather(project, "train", "--data-file", "nowhere/king_james.jsonl"), r"nowhere/king_james\.jsonl")


def test_the_output_directory_of_another_model(project):
    text = (
        "-- extends 'project.yaml'\n\n[model_definition]\n    -- include 'wide.model'\n\n"
        "#-------- wide.model --------\n-- extends 'tiny_llama.model'\n\n"
        "[model_config]\n    == super()\n    hidden_size: 64\n"
    )
    name = write_config(project, "wide.yaml", text)
    model = project / "output_models" / "tiny_llama"
    before = snapshot(model / "checkpoints")
    refused(forgather(project, "train", config=name), "tiny_llama", "output_dir")
    assert snapshot(model / "checkpoints") == before


def test_a_corrupt_checkpoint_is_refused_and_the_older_one_offered(project):
    output = project / "output_models" / "damaged"
    shutil.copytree(project / "output_models" / "tiny_llama", output, symlinks=True)
    weights = output / "checkpoints" / "checkpoint-2" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    words = ["train", "--output-dir", str(output), "--max-steps", "3"]
    before = snapshot(output / "checkpoints")
    refused(forgather(project, *words), r"checkpoint-2 is damaged", r"model\.safetensors", r"checkpoint-1")
    assert snapshot(output / "checkpoints") == before

    older = str(output / "checkpoints" / "checkpoint-1")
    result = forgather(project, *words, "--resume-from-checkpoint", older)
    assert result.returncode == 0, result.stderr


def test_no_such_project(tmp_path):
    refused(forgather(tmp_path, "train"), r"meta\.yaml", re.escape(str(tmp_path)))


def test_no_such_model(project):
    refused(command("inf", "server", "-m", str(project / "nothing")), "nothing")


def test_a_port_in_use(project):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        model = str(project / "output_models" / "tiny_llama")
        refused(command("inf", "server", "-m", model, "-p", port), port)
