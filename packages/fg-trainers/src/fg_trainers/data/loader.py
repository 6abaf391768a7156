"""Whole updates: the micro-batches of one update are fetched and counted before its first backward pass.

The loss of every micro-batch is divided by the token count of the whole update. An optimizer that runs inside the
backward pass could not be corrected afterwards, so the count must be known first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fg_trainers.data.collate import IGNORED
from fg_trainers.errors import DatasetError
from fg_trainers.interfaces import Batch, SampleSource

if TYPE_CHECKING:
    from torch import Tensor

    from fg_data_server import Cursor, Sample

Collator = Callable[[Sequence["Sample"]], "dict[str, Tensor]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What one process trains on between two steps of the optimizer."""

    micro_batches: tuple[Batch, ...]
    tokens: int
    """Supervised tokens in these micro-batches."""
    cursor: Cursor
    """Where the next update begins. The loop commits it once this update is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateLoader:
    """Reads this process's share of each global batch.

    The samples of one update are consecutive in the data order: micro-batch by micro-batch, and within one by data
    rank, so that every world size and accumulation trains on the same samples in the same updates.
    """

    source: SampleSource
    collate: Collator
    batch_size: int
    """Sequences per process and micro-batch."""
    accumulation: int
    data_rank: int = 0
    data_size: int = 1

    @property
    def samples_per_update(self) -> int:
        """Sequences of one update over all data ranks."""
        return self.batch_size * self.accumulation * self.data_size

    def updates(self, epochs: float) -> int:
        """Whole updates in so many passes over the data. Raises DatasetError when there is not one."""
        per_epoch = self.source.length(0)
        updates = int(epochs * per_epoch / self.samples_per_update)
        if updates == 0:
            raise DatasetError(
                f"{epochs} epoch(s) of {per_epoch} sequences are less than one update of {self.samples_per_update}; "
                "lower the batch size, or set max_steps"
            )
        return updates

    def next_epoch(self, cursor: Cursor) -> Cursor:
        """The beginning of the epoch after that of `cursor`."""
        start = self.source.start()
        return replace(start, epoch=cursor.epoch + 1, consumed_tokens=cursor.consumed_tokens)

    def fetch(self, cursor: Cursor) -> Update:
        """The update that begins at `cursor`."""
        samples, following = self.source.next(cursor, self.samples_per_update)
        stride = self.batch_size * self.data_size
        firsts = range(self.data_rank * self.batch_size, len(samples), stride)
        batches = tuple(self.collate(samples[first : first + self.batch_size]) for first in firsts)
        return Update(micro_batches=batches, tokens=sum(map(supervised_tokens, batches)), cursor=following)


def supervised_tokens(batch: Batch) -> int:
    """Labels that are learnt from, after the shift by one. Counted on the CPU, before the batch moves to a device."""
    return int((batch["labels"][:, 1:] != IGNORED).sum())


def evaluation_batches(
    source: SampleSource, collate: Collator, *, batch_size: int, data_rank: int = 0, data_size: int = 1
) -> Iterator[Batch]:
    """This process's batches of one pass, in order. Ranks differ by at most one batch in how many they get."""
    group: list[Sample] = []
    number = 0
    for sample in source.one_pass():
        group.append(sample)
        if len(group) == batch_size:
            if number % data_size == data_rank:
                yield collate(group)
            group = []
            number += 1
    if group and number % data_size == data_rank:
        yield collate(group)
