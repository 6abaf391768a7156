"""An encoded state as files: tensors in safetensors shards, the rest in one JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fg_checkpoint import tensor_bytes
from fg_checkpoint.manifest import FileRecord
from fg_checkpoint.safetensors_io import write_bytes, write_safetensors
from fg_checkpoint.state_format import EncodedState
from fg_checkpoint.tensor_bytes import Array


def write_state(state: EncodedState, place: Path, stem: str, max_shard_bytes: int) -> dict[str, FileRecord]:
    """Write `stem.json` and `stem.safetensors` (or its shards and their index), as far as there is something in them.

    Returns:
        The record of each file that was written.
    """
    written: dict[str, FileRecord] = {}
    if not state.flat:
        name = f"{stem}.json"
        written[name] = write_bytes(place / name, json.dumps(state.skeleton).encode())
    if not state.tensors:
        return written
    shards = _shards(state.tensors, max_shard_bytes)
    names = [f"{stem}.safetensors"]
    if len(shards) > 1:
        names = [f"{stem}-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        aliases = {alias: target for alias, target in state.aliases.items() if target in shard}
        metadata = {"format": "pt"} | ({"aliases": json.dumps(aliases)} if aliases else {})
        metadata |= {"container": "OrderedDict"} if state.ordered else {}
        entries = [tensor_bytes.entry(tensor, value) for tensor, value in shard.items()]
        written[name] = write_safetensors(place / name, entries, metadata=metadata)
    if len(shards) > 1:
        name = f"{stem}.safetensors.index.json"
        written[name] = write_bytes(place / name, _index(names, shards, state.aliases))
    return written


def _shards(tensors: Mapping[str, Array], max_shard_bytes: int) -> list[dict[str, Array]]:
    shards: list[dict[str, Array]] = [{}]
    filled = 0
    for name, value in tensors.items():
        if shards[-1] and filled + value.nbytes > max_shard_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = value
        filled += value.nbytes
    return shards


def _index(names: Sequence[str], shards: Sequence[Mapping[str, Array]], aliases: Mapping[str, str]) -> bytes:
    """The index that Hugging Face's loaders expect beside sharded weights."""
    total = sum(value.nbytes for shard in shards for value in shard.values())
    weight_map = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
    index = {"metadata": {"total_size": total, "aliases": dict(aliases)}, "weight_map": weight_map}
    return (json.dumps(index, indent=2) + "\n").encode()
