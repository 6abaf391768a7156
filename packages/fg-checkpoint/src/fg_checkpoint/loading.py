"""From a checkpoint back into live objects, verifying every byte on the way."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch

from fg_checkpoint.capture import label_of
from fg_checkpoint.components import StateComponent
from fg_checkpoint.errors import Damage, DamagedCheckpointError, IncompatibleCheckpointError, MissingComponentError
from fg_checkpoint.links import MODEL_KEY
from fg_checkpoint.manifest import Manifest, Part
from fg_checkpoint.patterns import SharingPattern
from fg_checkpoint.ranks import Ranks
from fg_checkpoint.reference import CheckpointRef
from fg_checkpoint.safetensors_io import RawTensor, check_file, read_metadata
from fg_checkpoint.state_format import decode, decode_flat

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What a load did, by component key."""

    step: int
    loaded: tuple[str, ...]
    missing_optional: tuple[str, ...]
    """Asked for, not required, and not in the checkpoint."""
    skipped: tuple[str, ...]
    unused: tuple[str, ...]
    """In the checkpoint, and not asked for."""


def load_components(
    ref: CheckpointRef, components: Sequence[StateComponent], *, skip: Iterable[str], ranks: Ranks
) -> LoadReport:
    """Load each component that is not skipped; see `CheckpointStore.load`."""
    manifest = ref.manifest
    keys = [component.key for component in components]
    skipped = tuple(dict.fromkeys([skip] if isinstance(skip, str) else skip))
    _check_skip(skipped, {*keys, *manifest.components}, ref)
    wanted = [component for component in components if component.key not in skipped]
    missing = [component for component in wanted if component.key not in manifest.components]
    _check_missing(missing, manifest, ref)
    present = [component for component in wanted if component not in missing]
    # All that can be refused by looking at the manifest is refused before the first object changes.
    parts = [_own_part(component, manifest, ranks, ref) for component in present]
    for component, part in zip(present, parts, strict=True):
        _load(component, part, manifest, ref)
    return LoadReport(
        step=manifest.step,
        loaded=tuple(component.key for component in present),
        missing_optional=tuple(component.key for component in missing),
        skipped=skipped,
        unused=tuple(key for key in manifest.components if key not in keys),
    )


def read_state(ref: CheckpointRef, part: Part, manifest: Manifest) -> Any:
    """The state that the files of `part` hold.

    Raises:
        DamagedCheckpointError: a byte differs from what was written; names file and tensor.
    """
    raw: dict[str, RawTensor] = {}
    damages: list[Damage] = []
    for name in part.files:
        damages += check_file(ref.path / name, manifest.files[name], lambda tensor: raw.update({tensor.name: tensor}))
    if damages:
        raise DamagedCheckpointError(ref.path, damages)
    tensor_files = [ref.path / name for name in part.files if manifest.files[name].tensors is not None]
    skeletons = [name for name in part.files if name.endswith(".json") and not name.endswith(".safetensors.index.json")]
    if skeletons:
        return decode(json.loads((ref.path / skeletons[0]).read_bytes()), raw)
    metadata = [read_metadata(path) for path in tensor_files]
    aliases = {alias: name for entry in metadata for alias, name in json.loads(entry.get("aliases", "{}")).items()}
    return decode_flat(raw, aliases, ordered=any(entry.get("container") == "OrderedDict" for entry in metadata))


def _load(component: StateComponent, part: Part, manifest: Manifest, ref: CheckpointRef) -> None:
    state = read_state(ref, part, manifest)
    if component.key == MODEL_KEY:
        _check_same_model(component.stateful.state_dict(), state, ref)
    component.stateful.load_state_dict(state)
    logger.debug("loaded %s from %s", component.key, ref.path)


def _own_part(component: StateComponent, manifest: Manifest, ranks: Ranks, ref: CheckpointRef) -> Part:
    record = manifest.components[component.key]
    where = f"{ref.path}: component {component.key!r}"
    if record.pattern is not component.pattern:
        raise IncompatibleCheckpointError(f"{where} was saved as {record.pattern}, and is declared {component.pattern}")
    if component.pattern is SharingPattern.PER_RANK and manifest.world_size != ranks.world_size:
        raise IncompatibleCheckpointError(
            f"{where} has one state per rank and was saved by {manifest.world_size} ranks; this job has "
            f"{ranks.world_size}: start that many, or leave it out with skip=[{component.key!r}]"
        )
    label = label_of(component, ranks)
    if label not in record.parts:
        raise IncompatibleCheckpointError(f"{where} has no copy {label!r}, only {', '.join(record.parts)}")
    return record.parts[label]


def _check_skip(skip: Iterable[str], known: set[str], ref: CheckpointRef) -> None:
    for key in skip:
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known))}"
            raise MissingComponentError(f"{ref.path}: cannot skip component {key!r}, there is none of that name{hint}")


def _check_missing(missing: Sequence[StateComponent], manifest: Manifest, ref: CheckpointRef) -> None:
    required = [component.key for component in missing if component.required]
    if required:
        raise MissingComponentError(
            f"{ref.path} has no component {', '.join(map(repr, required))}; it has {', '.join(manifest.components)}. "
            f"To start without, pass skip={required!r}"
        )
    for component in missing:
        logger.warning("%s has no component %r; it keeps its fresh state", ref.path, component.key)


def _check_same_model(live: Any, saved: Any, ref: CheckpointRef) -> None:
    """Compare names, shapes and dtypes before anything is copied, so that a wrong model stays as it was."""
    if not isinstance(live, Mapping) or not isinstance(saved, Mapping):
        return
    problems = [f"{name}: in the checkpoint only" for name in saved if name not in live]
    problems += [f"{name}: in this model only" for name in live if name not in saved]
    for name, value in saved.items():
        other = live.get(name)
        if isinstance(value, torch.Tensor) and isinstance(other, torch.Tensor):
            there, here = (tuple(value.shape), value.dtype), (tuple(other.shape), other.dtype)
            if there != here:
                problems.append(f"{name}: {there[0]} {there[1]} in the checkpoint, {here[0]} {here[1]} in this model")
    if problems:
        more = [f"… and {len(problems) - 8} more"] if len(problems) > 8 else []
        lines = "\n".join(f"  {line}" for line in problems[:8] + more)
        raise IncompatibleCheckpointError(
            f"{ref.path} is a checkpoint of another model:\n{lines}\n"
            "  help: use the config it was trained with, or another output directory"
        )
