from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fg_data_server import PackingPlan, SettingError

LENGTHS = st.lists(st.integers(0, 70), max_size=80)
Piece = tuple[int, int, int]


def naive_greedy(lengths: list[int], sequence_length: int) -> list[list[Piece]]:
    """Put documents end to end, token by token, and cut."""
    tokens = [(document, place) for document, length in enumerate(lengths) for place in range(length)]
    sequences = []
    for start in range(0, len(tokens), sequence_length):
        pieces: list[Piece] = []
        for document, place in tokens[start : start + sequence_length]:
            if pieces and pieces[-1][0] == document:
                pieces[-1] = (document, pieces[-1][1], place + 1)
            else:
                pieces.append((document, place, place + 1))
        sequences.append(pieces)
    return sequences


def naive_best_fit(lengths: list[int], sequence_length: int) -> list[list[Piece]]:
    """Look at every bin for every piece, longest piece first."""
    pieces = [
        (document, start, min(start + sequence_length, length))
        for document, length in enumerate(lengths)
        for start in range(0, length, sequence_length)
    ]
    bins: list[list[Piece]] = []
    room: list[int] = []
    for piece in sorted(pieces, key=lambda piece: piece[1] - piece[2]):
        size = piece[2] - piece[1]
        fitting = [number for number in range(len(bins)) if room[number] >= size]
        if fitting:
            best = min(fitting, key=lambda number: room[number])
        else:
            best = len(bins)
            bins.append([])
            room.append(sequence_length)
        bins[best].append(piece)
        room[best] -= size
    bins.sort(key=lambda opened: opened[0])  # the first piece opened the bin
    return [sorted(opened) for opened in bins]


def sequences_of(plan: PackingPlan) -> list[list[Piece]]:
    return [plan.pieces(sequence) for sequence in range(len(plan))]


@settings(max_examples=150, deadline=None)
@given(lengths=LENGTHS, sequence_length=st.integers(1, 40))
@pytest.mark.parametrize(("strategy", "naive"), [("greedy", naive_greedy), ("best_fit", naive_best_fit)])
def test_a_plan_is_that_of_the_naive_algorithm(strategy, naive, lengths, sequence_length):
    plan = PackingPlan.of(lengths, sequence_length=sequence_length, strategy=strategy)
    assert sequences_of(plan) == naive(lengths, sequence_length)


@settings(max_examples=100, deadline=None)
@given(lengths=LENGTHS, sequence_length=st.integers(1, 40))
@pytest.mark.parametrize("strategy", ["greedy", "best_fit"])
def test_every_token_is_used_once_and_no_sequence_is_too_long(strategy, lengths, sequence_length):
    plan = PackingPlan.of(lengths, sequence_length=sequence_length, strategy=strategy)
    used = [(d, t) for pieces in sequences_of(plan) for d, start, stop in pieces for t in range(start, stop)]
    assert sorted(used) == [(d, t) for d, length in enumerate(lengths) for t in range(length)]
    assert plan.num_tokens == plan.lengths.sum() == sum(lengths)
    assert all(0 < length <= sequence_length for length in plan.lengths)


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=80))
def test_best_fit_cuts_no_document_that_fits(lengths):
    plan = PackingPlan.of(lengths, sequence_length=40, strategy="best_fit")
    assert sorted(plan.documents.tolist()) == list(range(len(lengths)))
    assert len(plan) >= -(-sum(lengths) // 40)


def test_a_best_fit_plan_by_hand():
    plan = PackingPlan.of([3, 0, 10, 4, 6, 25, 1], sequence_length=10, strategy="best_fit")
    assert sequences_of(plan) == [
        [(2, 0, 10)],
        [(3, 0, 4), (4, 0, 6)],
        [(5, 0, 10)],
        [(5, 10, 20)],
        [(0, 0, 3), (5, 20, 25), (6, 0, 1)],
    ]
    assert plan.utilization == 49 / 50


def test_a_greedy_plan_by_hand():
    plan = PackingPlan.of([3, 0, 8, 1], sequence_length=5, strategy="greedy")
    assert sequences_of(plan) == [[(0, 0, 3), (2, 0, 2)], [(2, 2, 7)], [(2, 7, 8), (3, 0, 1)]]
    assert plan.lengths.tolist() == [5, 5, 2]


def test_an_unpacked_plan_cuts_documents_off_and_passes_empty_ones_over():
    plan = PackingPlan.unpacked([3, 0, 8], sequence_length=5)
    assert sequences_of(plan) == [[(0, 0, 3)], [(2, 0, 5)]]
    assert sequences_of(PackingPlan.unpacked([3, 0, 8], sequence_length=None)) == [[(0, 0, 3)], [(2, 0, 8)]]


@pytest.mark.parametrize("strategy", ["greedy", "best_fit"])
@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_no_tokens_make_no_sequences(strategy, lengths):
    plan = PackingPlan.of(lengths, sequence_length=8, strategy=strategy)
    assert len(plan) == 0
    assert plan.utilization == 1.0


def log_normal_lengths(count: int) -> np.ndarray:
    return np.random.default_rng(0).lognormal(5.5, 1.0, count).astype(np.int64) + 1


def test_sixteen_thousand_documents_fill_their_sequences():
    plan = PackingPlan.of(log_normal_lengths(16_000), sequence_length=4096, strategy="best_fit")
    assert plan.utilization > 0.999


def test_packed_sequences_do_not_come_longest_documents_first():
    plan = PackingPlan.of(log_normal_lengths(4096), sequence_length=2048, strategy="best_fit")
    pieces = np.diff(plan.offsets)
    first, second = np.array_split(pieces, 2)
    assert 0.8 < first.mean() / second.mean() < 1.25


@pytest.mark.parametrize(
    ("lengths", "wrong", "text"),
    [
        ([1], {"strategy": "first_fit"}, "packing is 'first_fit'; it must be one of greedy, best_fit"),
        ([1], {"sequence_length": 0}, "sequence_length is 0; it must be a whole number of at least 1"),
        ([4, -2], {}, "a document has -2 tokens"),
    ],
)
def test_settings_that_cannot_work_are_named(lengths, wrong, text):
    with pytest.raises(SettingError, match=text):
        PackingPlan.of(lengths, **({"sequence_length": 8, "strategy": "greedy"} | wrong))
