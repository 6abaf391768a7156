"""Checkpoints that exist or do not.

State is saved as components, in safetensors and JSON files, with a checksum for every tensor; a checkpoint gets its
name in one rename after everything in it is on the disk. `import fg_checkpoint` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fg_checkpoint.__about__ import __version__

if TYPE_CHECKING:
    from fg_checkpoint.components import StateComponent, Stateful
    from fg_checkpoint.errors import (
        CheckpointError,
        Damage,
        DamagedCheckpointError,
        IncompatibleCheckpointError,
        MissingComponentError,
        ReplicationError,
        SaveError,
        UnsupportedStateError,
    )
    from fg_checkpoint.loading import LoadReport
    from fg_checkpoint.manifest import ComponentRecord, FileRecord, Manifest, Part, read_manifest
    from fg_checkpoint.patterns import SharingPattern, Validation
    from fg_checkpoint.reference import CheckpointRef
    from fg_checkpoint.retention import BestPolicy
    from fg_checkpoint.rng import RNGState
    from fg_checkpoint.store import CheckpointStore, PendingSave
    from fg_checkpoint.validate import verify

__all__ = [
    "BestPolicy",
    "CheckpointError",
    "CheckpointRef",
    "CheckpointStore",
    "ComponentRecord",
    "Damage",
    "DamagedCheckpointError",
    "FileRecord",
    "IncompatibleCheckpointError",
    "LoadReport",
    "Manifest",
    "MissingComponentError",
    "Part",
    "PendingSave",
    "RNGState",
    "ReplicationError",
    "SaveError",
    "SharingPattern",
    "StateComponent",
    "Stateful",
    "UnsupportedStateError",
    "Validation",
    "__version__",
    "read_manifest",
    "verify",
]

_MODULES = {
    "BestPolicy": "retention",
    "CheckpointError": "errors",
    "CheckpointRef": "reference",
    "CheckpointStore": "store",
    "ComponentRecord": "manifest",
    "Damage": "errors",
    "DamagedCheckpointError": "errors",
    "FileRecord": "manifest",
    "IncompatibleCheckpointError": "errors",
    "LoadReport": "loading",
    "Manifest": "manifest",
    "MissingComponentError": "errors",
    "Part": "manifest",
    "PendingSave": "store",
    "RNGState": "rng",
    "ReplicationError": "errors",
    "SaveError": "errors",
    "SharingPattern": "patterns",
    "StateComponent": "components",
    "Stateful": "components",
    "UnsupportedStateError": "errors",
    "Validation": "patterns",
    "read_manifest": "manifest",
    "verify": "validate",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
