"""Write a model directory: source, config.json and tokenizer, rebuilt exactly when what they are made of changes.

`model_source.json` records a hash of the inputs (generated source, blocks, config, vocabulary). The same hash means
that nothing is to be done; another hash means rebuild, unless the directory holds weights that belong to the old one.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fg_config.files import atomic_write
from fg_models.dynamic_source import import_source
from fg_models.errors import OutputOfAnotherModelError, SourceError
from fg_models.locking import locked
from fg_models.source import ModelSource, blocks_directory, collect_source

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

RECORD = "model_source.json"
RECORD_FORMAT = 1


def write_model_source(
    output_dir: str | Path,
    *,
    source: str,
    file_name: str,
    config: Mapping[str, Any],
    config_class: str,
    model_class: str,
    searchpath: Sequence[str | Path] = (),
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> PreTrainedConfig:
    """Make `output_dir` hold the model that the inputs describe, and return its config.

    Safe to call from all ranks at once. Afterwards `AutoModelForCausalLM` can load the directory, once it has weights.

    Args:
        source: text of the generated file, as `generate_code` writes it
        file_name: its name in the directory, such as "llama.py"
        config: the keys of `config.json`
        searchpath: directories of blocks, before those of this distribution

    Raises:
        SourceError: a block is missing, or a config value is not plain data.
        OutputOfAnotherModelError: the directory has weights of a model made from other inputs.
    """
    directory = Path(output_dir).resolve()
    files = collect_source(source, file_name=file_name, searchpath=[*searchpath, blocks_directory()])
    inputs = _Inputs(
        source=files, config=config, config_class=config_class, model_class=model_class, tokenizer=tokenizer
    )
    digest = inputs.digest()
    with locked(directory):
        if not _up_to_date(directory, digest):
            _refuse_other_weights(directory, digest)
            _write(directory, inputs, digest)
    return read_config(directory)


def read_config(model_dir: str | Path) -> PreTrainedConfig:
    """The config of a directory written by `write_model_source`, as an object of the class in its own source."""
    directory = Path(model_dir).resolve()
    record = _read_record(directory)
    if record is None:
        raise SourceError(f"{directory / RECORD} is missing or unreadable; this directory was not written by Forgather")
    module, name = record["config_class"].split(".")
    return getattr(import_source(directory, module, record["hash"]), name).from_json_file(directory / "config.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    """Everything that decides what is in a model directory."""

    source: ModelSource
    config: Mapping[str, Any]
    config_class: str
    model_class: str
    tokenizer: PreTrainedTokenizerBase | None

    @property
    def module(self) -> str:
        return Path(self.source.main).stem

    def digest(self) -> str:
        """SHA-256 of the inputs. Of the tokenizer only the vocabulary counts: its files vary with transformers."""
        inputs = {
            "format": RECORD_FORMAT,
            "main": self.source.main,
            "files": self.source.code_digests(),
            "config": self.config,
            "classes": [self.config_class, self.model_class],
            "vocabulary": sorted(self.tokenizer.get_vocab().items()) if self.tokenizer else None,
        }
        try:
            text = json.dumps(inputs, sort_keys=True)
        except TypeError as error:
            raise SourceError(f"the model's config must be plain data that JSON can hold: {error}") from error
        return hashlib.sha256(text.encode()).hexdigest()


def _up_to_date(directory: Path, digest: str) -> bool:
    record = _read_record(directory)
    if record is None or record["hash"] != digest:
        return False
    damaged = [name for name, expected in record["files"].items() if _file_digest(directory / name) != expected]
    if damaged:
        logger.warning("restoring %s in %s: changed since it was written", ", ".join(damaged), directory)
    return not damaged


def _refuse_other_weights(directory: Path, digest: str) -> None:
    record = _read_record(directory)
    old = record["hash"] if record else None
    weights = [
        path
        for pattern in ("checkpoints/checkpoint-*", "*.safetensors", "pytorch_model*.bin")
        for path in sorted(directory.glob(pattern))
    ]
    if not weights or old == digest:
        return
    made_from = f"made from {old[:12]}" if old else "of unknown origin"
    raise OutputOfAnotherModelError(
        f"{directory} holds weights {made_from} ({weights[0].relative_to(directory)}), but this config describes "
        f"model {digest[:12]}; give the run another output_dir, or remove the directory to start again"
    )


def _write(directory: Path, inputs: _Inputs, digest: str) -> None:
    old = _read_record(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / RECORD).unlink(missing_ok=True)  # without a record a half-written directory is written again
    for name in set(old["files"] if old else ()) - set(inputs.source.files):
        (directory / name).unlink(missing_ok=True)
    for name, text in inputs.source.files.items():
        atomic_write(directory / name, text)
    if inputs.tokenizer is not None:
        inputs.tokenizer.save_pretrained(str(directory))
    _write_configs(directory, inputs, digest)

    record = {
        "format": RECORD_FORMAT,
        "hash": digest,
        "config_class": f"{inputs.module}.{inputs.config_class}",
        "files": inputs.source.digests() | {"config.json": _file_digest(directory / "config.json")},
    }
    atomic_write(directory / RECORD, json.dumps(record, indent=2) + "\n")
    logger.info("wrote model source %s to %s", digest[:12], directory)


def _write_configs(directory: Path, inputs: _Inputs, digest: str) -> None:
    from transformers import GenerationConfig

    auto_map = {
        "AutoConfig": f"{inputs.module}.{inputs.config_class}",
        "AutoModelForCausalLM": f"{inputs.module}.{inputs.model_class}",
    }
    config_class = getattr(import_source(directory, inputs.module, digest), inputs.config_class)
    config = config_class(**inputs.config, auto_map=auto_map, architectures=[inputs.model_class])
    atomic_write(directory / "config.json", config.to_json_string())
    token_ids = {key: getattr(config, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    atomic_write(directory / "generation_config.json", GenerationConfig(**token_ids).to_json_string())


def _read_record(directory: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(record, dict) and {"format", "hash", "config_class", "files"} <= record.keys()
    return record if known and record["format"] == RECORD_FORMAT else None


def _file_digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
