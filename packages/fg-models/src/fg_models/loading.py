"""From a config or a directory to a model."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from fg_models.errors import ModelDirectoryError, ModelSettingsError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

CHECKPOINTS = "checkpoints"
_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim")


def construct_model(
    config: PreTrainedConfig,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    attn_implementation: str | None = None,
) -> PreTrainedModel:
    """Build the model of `config` with initial weights; on the meta device it has shapes only (see `materialize`).

    `device` and `dtype` None mean torch's current defaults. Initial weights of exported models depend only on the seed
    last given to `torch.manual_seed` and on the names of the parameters.

    Raises:
        ModelSettingsError: a part of an exported model refuses what the config says.
    """
    arguments: dict[str, Any] = {"dtype": _dtype(dtype) or torch.get_default_dtype()}
    if attn_implementation is not None:
        arguments["attn_implementation"] = attn_implementation
    with nullcontext() if device is None else torch.device(device):
        own_class = _own_model_class(config)
        if own_class is not None:
            with _refused_settings(config):
                return own_class._from_config(config, **arguments)
        return AutoModelForCausalLM.from_config(config, **arguments)


def _own_model_class(config: PreTrainedConfig) -> Any:
    """The model class in the file that defines the class of `config`; None for the configs of transformers itself."""
    class_path = (getattr(config, "auto_map", None) or {}).get("AutoModelForCausalLM", "")
    return getattr(sys.modules[type(config).__module__], class_path.rpartition(".")[2], None)


@contextmanager
def _refused_settings(config: PreTrainedConfig) -> Generator[None]:
    """A `ValueError` raised in the model's own source is how a part refuses its settings; others keep their traceback.

    Parts cannot raise an error of ours: they are used without this distribution, too.
    """
    try:
        yield
    except ValueError as error:
        *_, innermost = traceback.extract_tb(error.__traceback__)
        source = Path(sys.modules[type(config).__module__].__file__ or "").parent
        if Path(innermost.filename).parent != source:
            raise
        sizes = {name: getattr(config, name, None) for name in _SIZES}
        given = ", ".join(f"{name}={value}" for name, value in sizes.items() if value is not None)
        place = f"{innermost.filename}:{innermost.lineno}"
        raise ModelSettingsError(f"the model cannot be built: {error}\n  its config has {given} ({place})") from error


def materialize(
    model: PreTrainedModel,
    *,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype | None = None,
    seed: int | None = None,
) -> PreTrainedModel:
    """Give a model built on the meta device real tensors with initial values; the same object is returned.

    Bit for bit what `construct_model` gives after `torch.manual_seed(seed)`. `seed` None means the seed last set. The
    state of the random generators is left as it was.
    """
    target = torch.device(device)
    wanted = _dtype(dtype)
    if wanted is not None:
        torch.nn.Module.to(model, dtype=wanted)
    model.to_empty(device=target)
    for module in model.modules():
        module.__dict__.pop("_is_hf_initialized", None)  # set while there was nothing to initialise
    cuda = [target] if target.type == "cuda" else []
    seed = torch.initial_seed() if seed is None else seed
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        model.initialize_weights()
    model.tie_weights()
    return model


def load_model(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype | None = None,
    trust_remote_code: bool = True,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model (in evaluation mode) and the tokenizer of a model directory, checkpoint or Hugging Face export.

    Loading runs the Python files that the directory carries: only local directories are accepted, and you should
    trust their origin. `trust_remote_code=False` refuses directories with source. `dtype` None keeps the files' dtype.

    Raises:
        ModelDirectoryError: no such directory, no config.json, no weights or no tokenizer.
    """
    directory = _checked_directory(Path(path))
    stored_or_given = _dtype(dtype) or "auto"
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(str(directory), **options)
    with _no_progress_bar_in_logs():
        model = AutoModelForCausalLM.from_pretrained(str(directory), dtype=stored_or_given, **options)
    if tokenizer is None:
        raise ModelDirectoryError(f"transformers finds no tokenizer in {directory}")
    model.to(torch.device(device))
    return model.eval(), tokenizer


@contextmanager
def _no_progress_bar_in_logs() -> Generator[None]:
    """Transformers draws its progress bar into files and pipes too; show it at a terminal only."""
    enabled = transformers_logging.is_progress_bar_enabled() and not sys.stderr.isatty()
    if enabled:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            transformers_logging.enable_progress_bar()


def resolve_checkpoint(model_dir: str | Path, checkpoint: str | Path = "latest") -> Path:
    """The directory of a checkpoint: "latest" is the newest one of `model_dir` whose content verifies, else a path.

    Raises:
        ModelDirectoryError: there is none.
    """
    if str(checkpoint) != "latest":
        return _existing(Path(checkpoint))
    from fg_checkpoint import CheckpointStore

    root = _existing(Path(model_dir)) / CHECKPOINTS
    found = CheckpointStore(root).latest() if root.is_dir() else None
    if found is None:
        raise ModelDirectoryError(
            f"{root} has no checkpoint that verifies; train first, or load the directory itself if it has weights"
        )
    return Path(found.path)


def _existing(directory: Path) -> Path:
    if not directory.is_dir():
        raise ModelDirectoryError(f"no such directory: {directory}; models are loaded from local directories only")
    return directory


def _checked_directory(path: Path) -> Path:
    directory = _existing(path)
    if not (directory / "config.json").is_file():
        raise ModelDirectoryError(f"{directory} has no config.json, so it is not a model directory")
    if not any(any(directory.glob(pattern)) for pattern in ("*.safetensors", "*.safetensors.index.json")):
        checkpoints = sorted((directory / CHECKPOINTS).glob("checkpoint-*"))
        hint = f"load a checkpoint, such as {checkpoints[-1]}" if checkpoints else "train the model first"
        raise ModelDirectoryError(f"{directory} has no weights (*.safetensors); {hint}")
    if not (directory / "tokenizer_config.json").is_file():
        raise ModelDirectoryError(f"{directory} has no tokenizer (tokenizer_config.json)")
    return directory


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype):
        raise ModelDirectoryError(f"{dtype!r} is not a torch dtype; use for example float32, bfloat16 or float16")
    return found
