"""What the ranks wrote, put together and checked for completeness before the commit (on rank 0)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fg_checkpoint import manifest
from fg_checkpoint.errors import ReplicationError, SaveError
from fg_checkpoint.manifest import ComponentRecord, FileRecord, Part
from fg_checkpoint.patterns import SharingPattern


def merge_components(tables: Sequence[Mapping[str, Any]]) -> dict[str, ComponentRecord]:
    """The components of the checkpoint from the tables of all ranks, in rank order.

    Raises:
        SaveError: ranks disagree about what there is.
        ReplicationError: ranks disagree about a value that should be equal.
    """
    merged: dict[str, ComponentRecord] = {}
    for key in dict.fromkeys(key for table in tables for key in table["components"]):
        copies = {rank: table["components"][key] for rank, table in enumerate(tables) if key in table["components"]}
        first = next(iter(copies.values()))
        pattern = SharingPattern(first["pattern"])
        absent = sorted(set(range(len(tables))) - set(copies))
        if absent and pattern is not SharingPattern.PER_GROUP:
            raise SaveError(f"component {key!r} ({pattern}) was not given on ranks {absent}; give it on every rank")
        if any(copy["pattern"] != pattern for copy in copies.values()):
            raise SaveError(f"component {key!r} has another sharing pattern on other ranks")
        _check_replicas(key, copies)
        merged[key] = ComponentRecord(pattern=pattern, parts=_parts(key, copies))
    return merged


def _parts(key: str, copies: Mapping[int, Mapping[str, Any]]) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for label in sorted({copy["label"] for copy in copies.values()}):
        holders = tuple(rank for rank, copy in copies.items() if copy["label"] == label)
        files = tuple(name for rank in holders for name in copies[rank]["files"])
        if not files:
            raise SaveError(f"component {key!r}: no rank wrote {label or 'it'} (is the writing rank in the group?)")
        parts[label] = Part(ranks=holders, files=files)
    return parts


def _check_replicas(key: str, copies: Mapping[int, Mapping[str, Any]]) -> None:
    reference_rank, reference = next(iter(copies.items()))
    for rank, copy in copies.items():
        names = dict.fromkeys([*reference["digests"], *copy["digests"]])
        for name in names:
            if reference["digests"].get(name) != copy["digests"].get(name):
                raise ReplicationError(
                    f"component {key!r} is declared equal on all ranks, and rank {rank} differs from rank "
                    f"{reference_rank}: {name}; the ranks have diverged, this state must not be saved"
                )


def merge_files(tables: Sequence[Mapping[str, Any]], temporary: Path) -> dict[str, FileRecord]:
    """The files of the checkpoint, each written by exactly one rank and visible from here.

    Raises:
        SaveError: a name is used twice, or a file is not there.
    """
    files: dict[str, FileRecord] = {}
    for rank, table in enumerate(tables):
        for name, data in table["files"].items():
            record = manifest.file_from_json(data)
            path = temporary / name
            if name in files or name == manifest.FILE_NAME:
                raise SaveError(f"two components, or a component and an extra file, want the file name {name}")
            if not path.is_file() or path.stat().st_size != record.size:
                raise SaveError(f"rank {rank} wrote {path}, rank 0 does not see it: the directory must be shared")
            files[name] = record
    return files
