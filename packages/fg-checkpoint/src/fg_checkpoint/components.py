"""A component: one named, independently saved piece of a job's state."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from fg_checkpoint.patterns import SharingPattern, Validation

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@runtime_checkable
class Stateful(Protocol):
    """Anything with state: modules, optimizers, schedulers, cursors, callbacks."""

    def state_dict(self) -> Any:
        """The state, built of dict, list, tuple, Counter, None, bool, int, float, str, tensors and arrays."""
        ...

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Take over a state that `state_dict` returned earlier."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StateComponent:
    """A key, the object that owns the state, and how that state is shared over ranks.

    `state_dict()` is called on every rank, whoever writes, because it may contain collectives.

    Raises:
        ValueError: the key is no plain file name stem, or `group` and `validate` do not fit the pattern.
    """

    key: str
    """Stem of the files: `key.safetensors`, `key.json`. The key "model" is the weights, in Hugging Face layout."""
    stateful: Stateful
    pattern: SharingPattern
    group: ProcessGroup | Sequence[int] | None = None
    """For PER_GROUP: the process group, or its global ranks."""
    required: bool = True
    """Whether loading a checkpoint without this component is an error."""
    validate: Validation = Validation.NONE
    """For REPLICATED: how ranks are compared before the commit."""

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"component key {self.key!r} must be letters, digits, '_', '-' and '.' (it names files)")
        if (self.group is not None) != (self.pattern is SharingPattern.PER_GROUP):
            raise ValueError(f"component {self.key!r}: `group` belongs to PER_GROUP and only to it, not {self.pattern}")
        if self.validate is not Validation.NONE and self.pattern is not SharingPattern.REPLICATED:
            raise ValueError(f"component {self.key!r}: only REPLICATED state can be validated, not {self.pattern}")
