"""One save, from captured states to a committed directory.

The order is what makes a checkpoint exist or not: every rank writes and syncs its files in a temporary directory,
rank 0 collects the file tables and checks that they are complete, writes the manifest, and renames. Whatever fails
on one rank before the rename fails the save on all of them, and leaves the earlier checkpoints as they were.
"""

from __future__ import annotations

import errno
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fg_checkpoint import directory, manifest
from fg_checkpoint.__about__ import __version__
from fg_checkpoint.capture import Captured, digests
from fg_checkpoint.errors import SaveError
from fg_checkpoint.manifest import FileRecord, Manifest
from fg_checkpoint.merging import merge_components, merge_files
from fg_checkpoint.ranks import Ranks, together
from fg_checkpoint.reference import CheckpointRef
from fg_checkpoint.safetensors_io import write_bytes
from fg_checkpoint.writing import write_state

logger = logging.getLogger(__name__)

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveRequest:
    """What is saved, apart from the components."""

    step: int
    root: Path
    metrics: Mapping[str, float]
    extra_files: Sequence[Path]
    max_shard_bytes: int
    after_commit: Callable[[CheckpointRef], None]
    """Called on rank 0 while the root is still locked: links and retention."""


def save_captured(captured: Sequence[Captured], request: SaveRequest, ranks: Ranks) -> CheckpointRef:
    """Write and commit; every rank calls it, and gets the committed checkpoint or an exception."""
    try:
        with ExitStack() as cleanup:
            _, names = together(ranks, lambda: _begin(request, ranks, cleanup), lambda name: name)
            temporary = request.root / names[0]
            _, tables = together(ranks, lambda: _write(captured, temporary, request, ranks), lambda table: table)
            _, committed = together(ranks, lambda: _finish(tables, temporary, request, ranks), lambda name: name)
    except OSError as error:
        raise SaveError(_explained(error, request)) from error
    return CheckpointRef(path=request.root / committed[0], step=request.step)


def _explained(error: OSError, request: SaveRequest) -> str:
    """What the file system refused, and what to do about it."""
    reason = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    help_ = "; make room there, or keep fewer checkpoints" if error.errno in _NO_ROOM else ""
    return (
        f"the checkpoint of step {request.step} could not be saved in {request.root} ({reason}){help_}; "
        "the checkpoints before it are as they were"
    )


def _begin(request: SaveRequest, ranks: Ranks, cleanup: ExitStack) -> str:
    if ranks.rank != 0:
        return ""
    request.root.mkdir(parents=True, exist_ok=True)
    if cleanup.enter_context(directory.exclusive(request.root)):
        directory.clear_up(request.root)
    temporary = directory.new_temporary(request.root, request.step)
    cleanup.callback(shutil.rmtree, temporary, ignore_errors=True)  # nothing is there any more after the commit
    return temporary.name


def _write(captured: Sequence[Captured], temporary: Path, request: SaveRequest, ranks: Ranks) -> dict[str, Any]:
    """Write what this rank has to write, and describe it as JSON for rank 0."""
    if not temporary.is_dir():
        raise SaveError(f"{temporary} was created by rank 0 and is not visible here: the directory must be shared")
    files: dict[str, FileRecord] = {}
    components: dict[str, Any] = {}
    for item in captured:
        written: dict[str, FileRecord] = {}
        if item.writes and item.state is not None:
            written = write_state(item.state, temporary, item.stem, request.max_shard_bytes)
        files |= written
        components[item.key] = {
            "pattern": str(item.pattern),
            "label": item.label,
            "files": list(written),
            "digests": digests(item) if ranks.world_size > 1 else {},
        }
    for source in request.extra_files if ranks.rank == 0 else ():
        if source.name in files:
            raise SaveError(f"extra file {source} has the name of another file of the checkpoint")
        files[source.name] = write_bytes(temporary / source.name, source.read_bytes())
    return {"components": components, "files": {name: manifest.file_to_json(file) for name, file in files.items()}}


def _finish(tables: Sequence[Mapping[str, Any]], temporary: Path, request: SaveRequest, ranks: Ranks) -> str:
    """On rank 0: check that the tables of all ranks add up to a checkpoint, and commit it."""
    if ranks.rank != 0:
        return ""
    done = Manifest(
        step=request.step,
        unix_time=time.time(),
        world_size=ranks.world_size,
        versions={"fg_checkpoint": __version__, "torch": torch.__version__},
        metrics={name: float(value) for name, value in request.metrics.items()},
        components=merge_components(tables),
        files=merge_files(tables, temporary),
    )
    write_bytes(temporary / manifest.FILE_NAME, manifest.encode_manifest(done))
    committed = CheckpointRef(path=directory.commit(temporary), step=request.step)
    logger.info("saved %s (%.1f MB)", committed.path, done.size / 1e6)
    try:
        request.after_commit(committed)
    except OSError:  # the checkpoint exists; a link or an old directory that resists must not end the training
        logger.exception("%s is saved, but updating the links or deleting older checkpoints failed", committed.path)
    return committed.path.name
