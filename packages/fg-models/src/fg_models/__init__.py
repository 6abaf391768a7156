"""Language models as source: blocks, export, loading, tokenizers. Names load when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fg_models.codegen import generate_model_source as generate_model_source
    from fg_models.errors import DirectoryBusyError as DirectoryBusyError
    from fg_models.errors import ModelDirectoryError as ModelDirectoryError
    from fg_models.errors import ModelError as ModelError
    from fg_models.errors import ModelSettingsError as ModelSettingsError
    from fg_models.errors import OutputOfAnotherModelError as OutputOfAnotherModelError
    from fg_models.errors import SourceError as SourceError
    from fg_models.errors import TokenizerError as TokenizerError
    from fg_models.export import read_config as read_config
    from fg_models.export import write_model_source as write_model_source
    from fg_models.hub_texts import HubTexts as HubTexts
    from fg_models.loading import construct_model as construct_model
    from fg_models.loading import load_model as load_model
    from fg_models.loading import materialize as materialize
    from fg_models.loading import resolve_checkpoint as resolve_checkpoint
    from fg_models.source import ModelSource as ModelSource
    from fg_models.source import blocks_directory as blocks_directory
    from fg_models.source import collect_source as collect_source
    from fg_models.tokenizer import TokenizerTrainer as TokenizerTrainer
    from fg_models.tokenizer import train_bpe as train_bpe
    from fg_models.tokenizer import trained_tokenizer as trained_tokenizer

_MODULES = {
    "DirectoryBusyError": "errors",
    "HubTexts": "hub_texts",
    "ModelDirectoryError": "errors",
    "ModelError": "errors",
    "ModelSettingsError": "errors",
    "ModelSource": "source",
    "OutputOfAnotherModelError": "errors",
    "SourceError": "errors",
    "TokenizerError": "errors",
    "TokenizerTrainer": "tokenizer",
    "blocks_directory": "source",
    "collect_source": "source",
    "construct_model": "loading",
    "generate_model_source": "codegen",
    "load_model": "loading",
    "materialize": "loading",
    "read_config": "export",
    "resolve_checkpoint": "loading",
    "train_bpe": "tokenizer",
    "trained_tokenizer": "tokenizer",
    "write_model_source": "export",
}

__all__ = [
    "DirectoryBusyError",
    "HubTexts",
    "ModelDirectoryError",
    "ModelError",
    "ModelSettingsError",
    "ModelSource",
    "OutputOfAnotherModelError",
    "SourceError",
    "TokenizerError",
    "TokenizerTrainer",
    "blocks_directory",
    "collect_source",
    "construct_model",
    "generate_model_source",
    "load_model",
    "materialize",
    "read_config",
    "resolve_checkpoint",
    "train_bpe",
    "trained_tokenizer",
    "write_model_source",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
