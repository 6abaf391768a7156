"""Which pieces of which documents share a training sequence: a plan over lengths, made without the tokens.

Packing documents into sequences of one length without cutting those that fit is bin packing; the plan is that of
best fit over decreasing lengths (Johnson, "Near-optimal bin packing algorithms", MIT, 1973; for language models
Ding et al., "Fewer Truncations Improve Language Modeling", ICML 2024, arXiv:2404.10830).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fg_data_server.errors import SettingError, check_at_least, check_choice

Strategy: TypeAlias = Literal["greedy", "best_fit"]
Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackingPlan:
    """Sequences made of pieces of documents. Packed, every token of every document is in exactly one piece.

    Piece k is tokens `starts[k] … stops[k] - 1` of document `documents[k]`, each of shape (pieces,). Sequence i is
    the pieces `offsets[i] … offsets[i + 1] - 1`; `offsets` has shape (sequences + 1,).

    A sequence that the documents do not fill is kept and is shorter; whoever collates pads it.
    """

    sequence_length: int
    documents: Integers
    starts: Integers
    stops: Integers
    offsets: Integers

    @classmethod
    def of(cls, lengths: ArrayLike, *, sequence_length: int, strategy: Strategy) -> Self:
        """Plan documents of these lengths, in tokens, shape (documents,). Empty documents have no piece.

        strategy:
            "greedy" puts the documents end to end and cuts at every `sequence_length` tokens: only the last sequence
            is short, and most sequences begin and end inside a document.
            "best_fit" cuts only documents that are longer than a sequence, and fills each sequence with whole pieces:
            longest first, each where it leaves the least room. Sequences keep the order of the documents that opened
            them, pieces inside one the order of the documents, so that shuffled documents give shuffled sequences
            and not the long ones first.

        Raises:
            SettingError: an unknown strategy, a sequence length below 1, a negative length.
        """
        check_choice("packing", strategy, get_args(Strategy))
        check_at_least("sequence_length", sequence_length, 1)
        tokens = np.asarray(lengths, dtype=np.int64).reshape(-1)
        if tokens.size and tokens.min() < 0:
            raise SettingError(f"a document has {tokens.min()} tokens; a length is at least 0.")
        plan = _greedy if strategy == "greedy" else _best_fit
        documents, starts, stops, offsets = plan(tokens, sequence_length)
        return cls(sequence_length=sequence_length, documents=documents, starts=starts, stops=stops, offsets=offsets)

    @classmethod
    def unpacked(cls, lengths: ArrayLike, *, sequence_length: int | None) -> Self:
        """One sequence per document that is not empty, cut off after `sequence_length` tokens (None: never)."""
        tokens = np.asarray(lengths, dtype=np.int64).reshape(-1)
        limit = sequence_length if sequence_length is not None else max(1, int(tokens.max(initial=0)))
        documents = np.flatnonzero(tokens)
        stops = np.minimum(tokens[documents], limit)
        offsets = np.arange(len(documents) + 1)
        return cls(
            sequence_length=limit, documents=documents, starts=np.zeros_like(stops), stops=stops, offsets=offsets
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def pieces(self, sequence: int) -> list[tuple[int, int, int]]:
        """(document, start, stop) of each piece of a sequence."""
        part = slice(self.offsets[sequence], self.offsets[sequence + 1])
        columns = (self.documents[part], self.starts[part], self.stops[part])
        return list(zip(*(column.tolist() for column in columns), strict=True))

    @property
    def lengths(self) -> Integers:
        """Tokens of each sequence, shape (sequences,)."""
        total = np.concatenate(([0], np.cumsum(self.stops - self.starts)))
        return np.diff(total[self.offsets])

    @property
    def num_tokens(self) -> int:
        return int((self.stops - self.starts).sum())

    @property
    def utilization(self) -> float:
        """Share of the places in all sequences that hold a token; 1.0 for an empty plan."""
        return self.num_tokens / (len(self) * self.sequence_length) if len(self) else 1.0


_Columns: TypeAlias = tuple[Integers, Integers, Integers, Integers]


def _greedy(lengths: Integers, sequence_length: int) -> _Columns:
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if ends.size else 0
    cuts = np.arange(0, total, sequence_length, dtype=np.int64)
    edges = np.union1d(np.append(cuts, total), ends)
    documents = np.searchsorted(ends, edges[:-1], side="right")
    begin = (ends - lengths)[documents]
    offsets = np.append(np.searchsorted(edges[:-1], cuts), len(edges) - 1)
    return documents, edges[:-1] - begin, edges[1:] - begin, offsets


def _best_fit(lengths: Integers, sequence_length: int) -> _Columns:
    documents, starts, sizes = _cut_long(lengths, sequence_length)
    longest_first = np.argsort(-sizes, kind="stable")
    bins = np.empty(len(sizes), dtype=np.int64)
    bins[longest_first] = _best_fit_bins(sizes[longest_first].tolist(), sequence_length)
    # Bins are numbered in the order they were opened; number them by the piece that opened them instead.
    _, openers = np.unique(bins[longest_first], return_index=True)
    rank = np.empty(len(openers), dtype=np.int64)
    rank[np.argsort(longest_first[openers])] = np.arange(len(openers))
    sequences = rank[bins]
    order = np.argsort(sequences, kind="stable")
    offsets = np.searchsorted(sequences[order], np.arange(len(openers) + 1))
    return documents[order], starts[order], (starts + sizes)[order], offsets


def _cut_long(lengths: Integers, sequence_length: int) -> tuple[Integers, Integers, Integers]:
    """Document, start and size of each piece: as many full sequences as fit, then what is left."""
    pieces = -(-lengths // sequence_length)
    documents = np.repeat(np.arange(len(lengths)), pieces)
    number = np.arange(len(documents)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = number * sequence_length
    return documents, starts, np.minimum(lengths[documents] - starts, sequence_length)


def _best_fit_bins(sizes: Sequence[int], capacity: int) -> list[int]:
    """The bin of each size: the one with the least room that still holds it, the oldest of equals, else a new one.

    `rooms` has bit r set when a bin with room r exists, so that the least sufficient room is one shift away; looking
    at every bin instead would be quadratic.
    """
    bins_by_room: defaultdict[int, list[int]] = defaultdict(list)
    chosen: list[int] = []
    rooms = opened = 0
    for size in sizes:
        enough = rooms >> size
        if enough:
            room = size + (enough & -enough).bit_length() - 1
            number = heapq.heappop(bins_by_room[room])
            if not bins_by_room[room]:
                rooms ^= 1 << room
        else:
            room, number, opened = capacity, opened, opened + 1
        chosen.append(number)
        if room > size:
            heapq.heappush(bins_by_room[room - size], number)
            rooms |= 1 << (room - size)
    return chosen
