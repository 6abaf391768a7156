"""The state of the components at one instant, as this rank holds it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import xxhash

from fg_checkpoint import tensor_bytes
from fg_checkpoint.components import StateComponent
from fg_checkpoint.errors import SaveError
from fg_checkpoint.patterns import SharingPattern, Validation
from fg_checkpoint.ranks import Ranks, group_ranks
from fg_checkpoint.state_format import EncodedState, encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A component as this rank holds it."""

    key: str
    pattern: SharingPattern
    label: str
    """Which copy this is: "" for the only one, else for example "rank-00003"."""
    writes: bool
    state: EncodedState | None
    validate: Validation

    @property
    def stem(self) -> str:
        return f"{self.key}.{self.label}" if self.label else self.key


def label_of(component: StateComponent, ranks: Ranks) -> str:
    """Which copy of the component belongs to this rank."""
    match component.pattern:
        case SharingPattern.PER_RANK:
            return f"rank-{ranks.rank:05}"
        case SharingPattern.PER_NODE:
            return f"node-{ranks.node_rank:05}"
        case SharingPattern.PER_GROUP:
            assert component.group is not None
            return f"group-{group_ranks(component.group)[0]:05}"
        case _:
            return ""


def capture(components: Iterable[StateComponent], ranks: Ranks, *, isolate: bool) -> list[Captured]:
    """Take the states of all components; with `isolate`, copies that training cannot change any more.

    Raises:
        SaveError: two components have one key.
        UnsupportedStateError: a state cannot be stored.
    """
    captured = [_capture(component, ranks, isolate=isolate) for component in components]
    keys = [item.key for item in captured]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise SaveError(f"two components have the same key: {', '.join(twice)}; give each its own")
    return captured


def digests(item: Captured) -> dict[str, str]:
    """Hashes by which this rank's copy is compared with that of the others; empty without validation."""
    if item.validate is Validation.NONE or item.state is None:
        return {}
    found = {"its values other than tensors": xxhash.xxh3_128_hexdigest(json.dumps(item.state.skeleton).encode())}
    for name, value in item.state.tensors.items():
        digest = xxhash.xxh3_128(f"{value.dtype}{tuple(value.shape)}".encode())
        digest.update(tensor_bytes.host_bytes(value))
        found[f"tensor {name!r}"] = digest.hexdigest()
    if item.validate is Validation.TENSOR:
        return found
    return {"its state": xxhash.xxh3_128_hexdigest(json.dumps(found).encode())}


def _capture(component: StateComponent, ranks: Ranks, *, isolate: bool) -> Captured:
    writes = _writes(component, ranks)
    state = component.stateful.state_dict()  # on every rank: it may gather shards
    encoded = encode(state) if writes or component.validate is not Validation.NONE else None
    if encoded is not None and isolate:
        encoded.isolate()
    return Captured(
        key=component.key,
        pattern=component.pattern,
        label=label_of(component, ranks),
        writes=writes,
        state=encoded,
        validate=component.validate,
    )


def _writes(component: StateComponent, ranks: Ranks) -> bool:
    match component.pattern:
        case SharingPattern.PER_RANK:
            return True
        case SharingPattern.PER_NODE:
            return ranks.local_rank == 0
        case SharingPattern.PER_GROUP:
            assert component.group is not None
            return ranks.rank == group_ranks(component.group)[0]
        case _:
            return ranks.rank == 0
