"""A committed checkpoint: its directory and its step."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fg_checkpoint.manifest import Manifest, read_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRef:
    """Names a checkpoint; reading what is in it happens when it is asked for."""

    path: Path
    step: int

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> CheckpointRef:
        """The checkpoint in the directory `path`, whatever that directory is called.

        Raises:
            MissingComponentError: there is no manifest, hence no checkpoint.
            DamagedCheckpointError: the manifest is not the one that was written.
        """
        return cls(path=Path(path), step=read_manifest(Path(path)).step)

    @property
    def manifest(self) -> Manifest:
        """What the checkpoint consists of (read from disk on each access)."""
        return read_manifest(self.path)

    def __str__(self) -> str:
        return str(self.path)
