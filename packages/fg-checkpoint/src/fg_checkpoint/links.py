"""Links from a model directory to the weights of its newest checkpoint, so that it can be loaded during training."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from fg_checkpoint.reference import CheckpointRef
from fg_config.files import atomic_symlink

logger = logging.getLogger(__name__)

MODEL_KEY = "model"


def weight_files(ref: CheckpointRef) -> list[str]:
    """The files of the model component."""
    component = ref.manifest.components.get(MODEL_KEY)
    return [] if component is None else [name for part in component.parts.values() for name in part.files]


def link_weights(ref: CheckpointRef, place: Path) -> None:
    """Point `place`/<weight file> at the files in `ref`, and remove links of ours that are not among them.

    A regular file of such a name is somebody's weights: it stays, with a warning.
    """
    place.mkdir(parents=True, exist_ok=True)
    root = os.path.relpath(ref.path.parent.resolve(), place.resolve())
    names = weight_files(ref)
    # The index goes last: it must never name shards that are not linked yet.
    for name in sorted(names, key=lambda name: name.endswith(".index.json")):
        link = place / name
        if link.exists() and not link.is_symlink():
            logger.warning("%s is a file, not a link to a checkpoint: it stays and hides %s", link, ref.path / name)
        else:
            atomic_symlink(link, Path(root, ref.path.name, name))
    for link in place.iterdir():
        if link.name not in names and link.is_symlink() and _is_ours(link, root):
            link.unlink()


def _is_ours(link: Path, root: str) -> bool:
    target = link.readlink()
    return target.parent.name.startswith("checkpoint-") and str(target.parent.parent) == root
