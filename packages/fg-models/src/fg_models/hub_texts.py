"""Texts of a dataset on the Hugging Face hub, downloaded only when they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from fg_models.errors import TokenizerError


@dataclass(frozen=True, slots=True, kw_only=True)
class HubTexts:
    """The texts of one split, in order. A trained tokenizer is found again by `fingerprint`, without the texts.

    Args:
        path, name, split, revision: as of `datasets.load_dataset`; a revision fixes what the fingerprint stands for.
        feature: the column with the text.
        options: further keywords of `load_dataset`, such as `data_files`.

    Iterating raises `TokenizerError` when the library `datasets` is missing or the column does not exist.
    """

    path: str
    name: str | None = None
    split: str = "train"
    revision: str | None = None
    feature: str = "text"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """A hash of what was asked for; the same question is taken to have the same answer."""
        question = [self.path, self.name, self.split, self.revision, self.feature, dict(self.options)]
        return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()

    def __iter__(self) -> Iterator[str]:
        try:
            load_dataset = import_module("datasets").load_dataset  # an extra that most installations lack
        except ModuleNotFoundError as error:
            raise TokenizerError(
                f"{self.path} is on the Hugging Face hub, and reading it needs the library `datasets`; install it "
                "with: pip install 'fg-models[hub]'"
            ) from error
        rows = load_dataset(self.path, self.name, split=self.split, revision=self.revision, **self.options)
        if self.feature not in rows.column_names:
            raise TokenizerError(f"{self.path} has no column {self.feature!r}; it has {', '.join(rows.column_names)}")
        for row in rows:
            yield row[self.feature]
