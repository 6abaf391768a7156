"""Links from a model directory to the weights that were saved last, so that it can be loaded during training.

`checkpoints/last` points to the checkpoint, and the weight files of the model directory to files below `last`. The
shards of a model therefore change together, in one rename: at no instant do they mix two checkpoints.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from fg_checkpoint.reference import CheckpointRef
from fg_config.files import atomic_symlink

logger = logging.getLogger(__name__)

MODEL_KEY = "model"
LAST = "last"


def weight_files(ref: CheckpointRef) -> list[str]:
    """The files of the model component."""
    component = ref.manifest.components.get(MODEL_KEY)
    return [] if component is None else [name for part in component.parts.values() for name in part.files]


def link_weights(ref: CheckpointRef, place: Path) -> None:
    """Make `place`/<weight file> lead to the files in `ref`, and remove links of ours that are not among them.

    A regular file of such a name is somebody's weights: it stays, with a warning.
    """
    place.mkdir(parents=True, exist_ok=True)
    last = ref.path.with_name(LAST)
    for unfinished in last.parent.glob(f".{LAST}.*.tmp"):  # of a process that was killed while it switched the link
        unfinished.unlink()
    atomic_symlink(last, ref.path.name)
    below = Path(os.path.relpath(last.parent.resolve(), place.resolve()), LAST)
    names = weight_files(ref)
    for link in list(place.iterdir()):
        if link.name not in names and link.is_symlink() and link.readlink().parent == below:
            link.unlink()
    for name in names:
        link, target = place / name, below / name
        if link.exists() and not link.is_symlink():
            logger.warning("%s is a file, not a link to a checkpoint: it stays and hides %s", link, ref.path / name)
        elif not link.is_symlink() or link.readlink() != target:
            atomic_symlink(link, target)
