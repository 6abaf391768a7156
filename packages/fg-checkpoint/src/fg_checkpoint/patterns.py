"""How a piece of state is spread over the ranks of a job, and how closely that is checked."""

from __future__ import annotations

from enum import StrEnum


class SharingPattern(StrEnum):
    """Who holds a component, and therefore who writes it and who reads it back."""

    GLOBAL = "global"
    """One copy of the job; rank 0 writes it, every rank reads it."""
    REPLICATED = "replicated"
    """An equal copy on every rank; rank 0 writes it, equality can be validated."""
    PER_RANK = "per_rank"
    """Different on every rank; each rank writes and reads its own."""
    PER_GROUP = "per_group"
    """One copy per process group; the lowest rank of the group writes it, its members read it."""
    PER_NODE = "per_node"
    """One copy per host; local rank 0 writes it, the ranks of that host read it."""


class Validation(StrEnum):
    """How a replicated component is compared between ranks before a checkpoint is committed."""

    NONE = "none"
    QUICK = "quick"
    """One hash of the whole state: says that ranks differ."""
    TENSOR = "tensor"
    """One hash per tensor: says which tensor differs."""
