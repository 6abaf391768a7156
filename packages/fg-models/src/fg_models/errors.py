"""What can go wrong with a model directory, a tokenizer or a model's source.

ModelError                        base; a mistake that a user can correct
├── SourceError                   a block is missing or the source cannot be gathered
├── OutputOfAnotherModelError     the output directory holds weights of a model made from other inputs
├── ModelDirectoryError           no such directory, no config.json, no weights, no checkpoint
├── ModelSettingsError            a part of the model refuses a size or a choice of the model's config
├── TokenizerError                a tokenizer cannot be trained as asked
└── DirectoryBusyError            another process holds the lock of a directory for too long
"""

from __future__ import annotations

from typing import ClassVar


class ModelError(ValueError):
    """Base of all errors of this distribution; `str(error)` says what is wrong, where, and what to do."""

    exit_code: ClassVar[int] = 2


class SourceError(ModelError):
    """The source of a model cannot be put together."""


class OutputOfAnotherModelError(ModelError):
    """Rebuilding the directory would leave weights beside source or settings they were not made with."""


class ModelDirectoryError(ModelError):
    """The directory does not hold a model that can be loaded."""


class ModelSettingsError(ModelError):
    """A model cannot be built from the settings in its config."""


class TokenizerError(ModelError):
    """The tokenizer cannot be trained as asked."""


class DirectoryBusyError(ModelError):
    """Another process keeps the directory locked."""
