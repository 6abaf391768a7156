"""Is a checkpoint what was saved? Answered without torch, from the manifest and the bytes."""

from __future__ import annotations

from typing import Literal, TypeAlias

from fg_checkpoint.errors import Damage, DamagedCheckpointError
from fg_checkpoint.manifest import FILE_NAME, Manifest
from fg_checkpoint.reference import CheckpointRef
from fg_checkpoint.safetensors_io import check_file, check_size

Level: TypeAlias = Literal["content", "size", "manifest"]


def verify(ref: CheckpointRef, level: Level = "content") -> list[Damage]:
    """Every difference between the checkpoint and its manifest; an empty list means intact.

    Args:
        level: "content" reads and hashes every byte, "size" looks at the files' lengths, "manifest" only at the
            manifest itself.

    Raises:
        IncompatibleCheckpointError: a newer version wrote it, so nothing can be said.
        MissingComponentError: there is no manifest, hence no checkpoint.
    """
    try:
        manifest = ref.manifest
    except DamagedCheckpointError as error:
        return list(error.damages)
    damages = _wrong_step(ref, manifest)
    check = {"content": check_file, "size": check_size}.get(level)
    if check is not None:
        for name, record in manifest.files.items():
            damages += check(ref.path / name, record)
    return damages


def _wrong_step(ref: CheckpointRef, manifest: Manifest) -> list[Damage]:
    if ref.step == manifest.step:
        return []
    return [Damage(file=FILE_NAME, problem=f"is of step {manifest.step}, the directory's name says {ref.step}")]
