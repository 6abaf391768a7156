"""What can go wrong with a checkpoint.

CheckpointError                     base; the text says which file, which tensor, what to do
├── DamagedCheckpointError          bytes on disk are not the bytes that were written
├── MissingComponentError           the checkpoint has no such component, or there is no checkpoint
├── IncompatibleCheckpointError     intact, but of another model, world size or format version
├── UnsupportedStateError           a state holds a value that safetensors + JSON cannot keep
└── SaveError                       the save was given up; the checkpoints before it are untouched
    └── ReplicationError            ranks that should hold equal state do not
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One difference between a checkpoint and its manifest."""

    file: str
    """Name inside the checkpoint directory."""
    problem: str
    tensor: str | None = None
    """The tensor that is affected, where that can be told."""

    def __str__(self) -> str:
        place = self.file if self.tensor is None else f"{self.file}, tensor {self.tensor!r}"
        return f"{place}: {self.problem}"


class CheckpointError(Exception):
    """Base of every error of this distribution."""

    exit_code: ClassVar[int] = 2


class DamagedCheckpointError(CheckpointError):
    """The checkpoint at `path` is not what was saved; `damages` lists every finding."""

    def __init__(self, path: Path, damages: Sequence[Damage], *, advice: str | None = None) -> None:
        self.path = path
        self.damages = tuple(damages)
        findings = "\n".join(f"  {damage}" for damage in self.damages)
        advice = advice or "load an older checkpoint by its path, or move this directory away"
        super().__init__(f"{path} is damaged and was not loaded:\n{findings}\n  help: {advice}")


class MissingComponentError(CheckpointError):
    """A required component, or the whole checkpoint, does not exist."""


class IncompatibleCheckpointError(CheckpointError):
    """The checkpoint is intact but cannot be loaded into these objects."""


class UnsupportedStateError(CheckpointError):
    """A state holds something that has no exact form in safetensors + JSON."""


class SaveError(CheckpointError):
    """A save did not happen; no checkpoint that existed before it was touched."""


class ReplicationError(SaveError):
    """A component that is declared equal on several ranks differs between them."""
