"""The manifest: what a checkpoint consists of, written last, so that its presence means completeness.

It carries its own checksum (xxh3-128 of the canonical JSON of everything else), and is read strictly: an
unknown or missing entry is damage, a newer format version is an error that says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from fg_checkpoint.errors import Damage, DamagedCheckpointError, IncompatibleCheckpointError, MissingComponentError
from fg_checkpoint.patterns import SharingPattern

FILE_NAME = "checkpoint_manifest.json"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """Size in bytes and checksums of one file."""

    size: int
    xxh3: str
    """xxh3-128 of the whole file; of its header when the tensors have checksums of their own."""
    tensors: Mapping[str, str] | None = None
    """xxh3-128 per tensor, for safetensors files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One copy of a component."""

    ranks: tuple[int, ...]
    """The ranks that hold this copy."""
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentRecord:
    """A component; `parts` is keyed by "" (one copy), "rank-00003", "group-00002" or "node-00001"."""

    pattern: SharingPattern
    parts: Mapping[str, Part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that is known about a checkpoint without reading its tensors."""

    step: int
    unix_time: float
    world_size: int
    versions: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    components: Mapping[str, ComponentRecord]
    files: Mapping[str, FileRecord]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(record.size for record in self.files.values())


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as the text of its file."""
    body: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "step": manifest.step,
        "unix_time": manifest.unix_time,
        "world_size": manifest.world_size,
        "versions": dict(manifest.versions),
        "metrics": {name: _metric_to_json(value) for name, value in manifest.metrics.items()},
        "components": {key: component_to_json(record) for key, record in manifest.components.items()},
        "files": {name: file_to_json(record) for name, record in manifest.files.items()},
    }
    return (json.dumps(body | {"checksum": _checksum(body)}, indent=1) + "\n").encode()


def decode_manifest(data: bytes) -> Manifest:
    """The manifest in `data`.

    Raises:
        ValueError: the text is not a manifest, or not the one that was written.
        IncompatibleCheckpointError: a newer version wrote it.
    """
    body = json.loads(data)
    if not isinstance(body, dict) or body.pop("checksum", None) != _checksum(body):
        raise ValueError("its contents changed (checksum mismatch)")
    version = body.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise IncompatibleCheckpointError(
            f"checkpoint format version {version}; this release reads version {FORMAT_VERSION}: upgrade fg-checkpoint"
        )
    names = ("step", "unix_time", "world_size", "versions", "metrics", "components", "files")
    step, unix_time, world_size, versions, metrics, components, files = _exactly(body, names)
    manifest = Manifest(
        step=step,
        unix_time=unix_time,
        world_size=world_size,
        versions=versions,
        metrics={name: float(value) for name, value in metrics.items()},
        components={key: component_from_json(record) for key, record in components.items()},
        files={_plain(name): file_from_json(record) for name, record in files.items()},
    )
    if encode_manifest(manifest) != data:
        raise ValueError("its text changed (the checksum still holds: only white space or order can differ)")
    return manifest


def read_manifest(checkpoint: Path) -> Manifest:
    """The manifest of a checkpoint directory.

    Raises:
        MissingComponentError: the directory holds no manifest, so it is no (complete) checkpoint.
        DamagedCheckpointError: the manifest is not the one that was written.
        IncompatibleCheckpointError: a newer version wrote it.
    """
    try:
        data = (checkpoint / FILE_NAME).read_bytes()
    except FileNotFoundError:
        raise MissingComponentError(f"{checkpoint} is not a complete checkpoint: it has no {FILE_NAME}") from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise DamagedCheckpointError(checkpoint, [Damage(file=FILE_NAME, problem=problem)]) from error
    try:
        return decode_manifest(data)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise DamagedCheckpointError(checkpoint, [Damage(file=FILE_NAME, problem=str(error))]) from error
    except IncompatibleCheckpointError as error:
        raise IncompatibleCheckpointError(f"{checkpoint}: {error}") from None


def component_to_json(record: ComponentRecord) -> dict[str, Any]:
    """The JSON form of one component."""
    parts = {label: {"ranks": list(part.ranks), "files": list(part.files)} for label, part in record.parts.items()}
    return {"pattern": str(record.pattern), "parts": parts}


def component_from_json(data: Mapping[str, Any]) -> ComponentRecord:
    """The inverse of `component_to_json`."""
    pattern, parts = _exactly(data, ("pattern", "parts"))
    return ComponentRecord(pattern=SharingPattern(pattern), parts={label: _part(part) for label, part in parts.items()})


def file_to_json(record: FileRecord) -> dict[str, Any]:
    """The JSON form of one file."""
    if record.tensors is None:
        return {"bytes": record.size, "xxh3": record.xxh3}
    return {"bytes": record.size, "header_xxh3": record.xxh3, "tensors": dict(record.tensors)}


def file_from_json(data: Mapping[str, Any]) -> FileRecord:
    """The inverse of `file_to_json`."""
    if "tensors" not in data:
        size, xxh3 = _exactly(data, ("bytes", "xxh3"))
        return FileRecord(size=size, xxh3=xxh3)
    size, xxh3, tensors = _exactly(data, ("bytes", "header_xxh3", "tensors"))
    return FileRecord(size=size, xxh3=xxh3, tensors=tensors)


def _part(data: Mapping[str, Any]) -> Part:
    ranks, files = _exactly(data, ("ranks", "files"))
    return Part(ranks=tuple(ranks), files=tuple(_plain(name) for name in files))


def _exactly(data: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    if set(data) != set(names):
        raise ValueError(f"expected the entries {sorted(names)}, found {sorted(data)}")
    return [data[name] for name in names]


def _plain(name: str) -> str:
    if Path(name).name != name:
        raise ValueError(f"{name!r} is not the name of a file in this directory")
    return name


def _metric_to_json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)  # JSON has no NaN; float() reads the text back


def _checksum(body: Mapping[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return f"xxh3-128:{xxhash.xxh3_128_hexdigest(canonical)}"
