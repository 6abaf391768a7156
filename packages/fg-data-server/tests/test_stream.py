from __future__ import annotations

import functools
import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fg_data_server import (
    Cursor,
    CursorError,
    EmptyDatasetError,
    FingerprintMismatchError,
    ListSource,
    Order,
    Sample,
    SampleStream,
    SettingError,
    ViewMismatchError,
)

TEXTS = ["", "a", "bb " * 9, "Grüße, 世界", "d" * 41, "", "ef gh", "x" * 7, "yz" * 12, "end", "q" * 5, ""]
PACKINGS = [None, "greedy", "best_fit"]


def encode(batch):
    """One token per byte and an end mark; empty texts have no token."""
    return [
        np.frombuffer(text.encode(), np.uint8).astype(np.int64).tolist() + [256] * bool(text) for text in batch.text
    ]


def make_stream(texts=TEXTS, **changes) -> SampleStream:
    settings = {
        "encode": encode,
        "encode_id": "bytes",
        "order": Order(seed=11),
        "sequence_length": 16,
        "packing": "best_fit",
        "window_rows": 5,
    }
    return SampleStream(ListSource(texts), **(settings | changes))


def plain(samples: list[Sample]) -> list[tuple[list[int], list[int]]]:
    return [(sample.input_ids.tolist(), sample.document_starts.tolist()) for sample in samples]


def texts_of(samples) -> str:
    return b"".join(bytes([t]) if t < 256 else b"|" for s in samples for t in s.input_ids.tolist()).decode()


@pytest.mark.parametrize("packing", PACKINGS)
def test_resuming_at_every_position_continues_the_uninterrupted_run(packing):
    stream = make_stream(packing=packing)
    whole, last = stream.next(stream.start(), 60)
    assert last.epoch >= 2
    cursor = stream.start()
    for done in range(60):
        fresh = make_stream(packing=packing)  # a new process has no cache
        rest, end = fresh.next(Cursor.from_json(cursor.to_json()), 60 - done)
        assert plain(rest) == plain(whole[done:])
        assert end == last
        _, cursor = stream.next(cursor, 1)


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.text(max_size=60), min_size=1, max_size=40).filter(any),
    packing=st.sampled_from(PACKINGS),
    algo=st.sampled_from(["feistel-v1", "block-v1", "sequential"]),
    window_rows=st.integers(1, 50),
    parts=st.lists(st.integers(0, 9), min_size=20, max_size=20),
)
def test_any_way_to_cut_up_a_run_gives_the_same_samples(texts, packing, algo, window_rows, parts):
    order = Order(algo=algo, seed=1, block_rows=3, window_blocks=2)
    make = functools.partial(make_stream, texts, packing=packing, order=order, window_rows=window_rows)
    whole, last = make().next(make().start(), sum(parts))
    cursor, pieces = make().start(), []
    for count in parts:  # killed and started again 20 times, asking for another number of samples each time
        samples, cursor = make().next(Cursor.from_json(cursor.to_json()), count)
        assert len(samples) == count
        pieces += samples
    assert plain(pieces) == plain(whole)
    assert cursor == last


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_epoch_holds_every_document_once(packing):
    stream = make_stream(packing=packing, sequence_length=4096)
    for epoch in range(3):
        documents = texts_of(stream.one_pass(epoch)).split("|")
        assert sorted(documents[:-1]) == sorted(text for text in TEXTS if text)


def test_epochs_are_shuffled_differently_and_follow_each_other():
    stream = make_stream(packing=None, sequence_length=None)
    first, second = list(stream.one_pass(0)), list(stream.one_pass(1))
    assert plain(first) != plain(second)
    both, cursor = stream.next(stream.start(), len(first) + len(second))
    assert plain(both) == plain(first + second)
    assert (cursor.epoch, cursor.position) == (2, 0)


def test_a_limit_of_epochs_ends_the_samples():
    stream = make_stream()
    samples, cursor = stream.next(stream.start(), 10_000, epochs=3)
    assert plain(samples) == plain([sample for epoch in range(3) for sample in stream.one_pass(epoch)])
    assert cursor.epoch == 3
    assert stream.next(cursor, 5, epochs=3) == ([], cursor)


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_share_of_an_epoch_grows_with_every_sample(packing):
    stream = make_stream(packing=packing)
    cursor, before, per_epoch = stream.start(), 0.0, [stream.length(epoch) for epoch in range(2)]
    assert stream.epochs(cursor) == 0.0
    for count in range(1, sum(per_epoch) + 1):
        _, cursor = stream.next(cursor, 1)
        assert before < stream.epochs(cursor) <= 2
        before = stream.epochs(cursor)
        assert (before == 1.0) == (count == per_epoch[0])
    assert before == 2.0


def test_half_of_a_plain_list_is_half_an_epoch():
    stream = make_stream(["text"] * 40, packing=None)
    assert stream.epochs(stream.next(stream.start(), 20)[1]) == 0.5


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_length_of_an_epoch_is_exact(packing):
    stream = make_stream(packing=packing)
    for epoch in range(4):
        assert stream.length(epoch) == len(list(stream.one_pass(epoch)))


def test_documents_in_a_packed_sample_begin_where_the_sample_says():
    stream = make_stream(["abc", "de", "f"], order=Order(algo="sequential"), packing="greedy", sequence_length=7)
    samples, _ = stream.next(stream.start(), 2)
    assert texts_of(samples[:1]) == "abc|de|"
    assert samples[0].document_starts.tolist() == [0, 4]
    assert texts_of(samples[1:]) == "f|"
    assert samples[0].input_ids.dtype == samples[0].document_starts.dtype == np.int64


def test_without_packing_a_long_document_is_cut_off():
    stream = make_stream(["0123456789"], packing=None, sequence_length=4)
    samples, _ = stream.next(stream.start(), 2)
    assert [texts_of([sample]) for sample in samples] == ["0123", "0123"]


def test_consumed_tokens_are_those_of_the_samples():
    stream = make_stream()
    samples, cursor = stream.next(stream.start(), 23)
    assert cursor.consumed_tokens == sum(len(sample.input_ids) for sample in samples)


def test_changing_a_sample_does_not_change_the_next_reading():
    stream = make_stream(packing=None)
    (sample,), _ = stream.next(stream.start(), 1)
    before = sample.input_ids.tolist()
    sample.input_ids[:] = 0
    (again,), _ = stream.next(stream.start(), 1)
    assert again.input_ids.tolist() == before


def test_a_window_is_encoded_once_and_at_most_two_are_kept():
    encoded: list[int] = []

    def counting(batch):
        encoded.extend(batch.rows.tolist())
        return encode(batch)

    stream = make_stream([f"text {n}" for n in range(100)], encode=counting, window_rows=10)
    cursor = stream.start()
    while cursor.epoch == 0:
        _, cursor = stream.next(cursor, 1)
    assert sorted(encoded) == list(range(100))
    stream.next(stream.start(), 1)
    assert len(encoded) == 110


def test_resuming_deep_inside_encodes_one_window_only():
    encoded: list[int] = []

    def counting(batch):
        encoded.extend(batch.rows.tolist())
        return encode(batch)

    texts = [f"text {n}" for n in range(3000)]
    _, deep = make_stream(texts, window_rows=10).next(make_stream(texts, window_rows=10).start(), 900)
    stream = make_stream(texts, encode=counting, window_rows=10)
    stream.next(deep, 1)
    assert len(encoded) <= 20


def test_world_size_and_batch_size_may_change_at_every_resume():
    """Each update takes the next world x batch samples; rank r its own part. The global order is that of one rank."""
    texts = [f"document number {n}" for n in range(200)]
    reference = make_stream(texts).one_pass()
    seen, cursor, chance = [], make_stream(texts).start(), random.Random(3)
    while cursor.epoch == 0:
        world, batch = chance.randint(1, 8), chance.randint(1, 5)
        samples, cursor = make_stream(texts).next(cursor, world * batch, epochs=1)
        for rank in range(world):
            seen += samples[rank * batch : (rank + 1) * batch]
    assert plain(seen) == plain(list(reference))


def test_other_data_is_refused_with_what_to_do():
    cursor = make_stream(TEXTS[:-1]).start()
    with pytest.raises(FingerprintMismatchError, match=r"data has changed.*Restore the old data, or start"):
        make_stream().next(cursor, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"encode_id": "other"},
        {"order": Order(seed=12)},
        {"order": Order(algo="sequential")},
        {"sequence_length": 17},
        {"packing": "greedy"},
        {"packing": None},
        {"window_rows": 6},
    ],
    ids=str,
)
def test_another_view_of_the_same_data_is_refused(change):
    with pytest.raises(ViewMismatchError, match=r"would be read differently"):
        make_stream(**change).next(make_stream().start(), 1)


def test_without_packing_window_rows_is_only_a_matter_of_speed():
    wide, narrow = make_stream(packing=None, window_rows=100), make_stream(packing=None, window_rows=3)
    _, cursor = narrow.next(narrow.start(), 13)
    assert plain(wide.next(cursor, 30)[0]) == plain(narrow.next(cursor, 30)[0])


@pytest.mark.parametrize(
    "damage", [{"position": 10}, {"position": 12}, {"pack_window": 1}, {"pack_sequence": 99}], ids=str
)
def test_an_impossible_position_is_refused(damage):
    stream = make_stream()
    with pytest.raises(CursorError, match=r"data cursor is at"):
        stream.next(replace(stream.start(), **damage), 1)


@pytest.mark.parametrize("epochs", [None, 1])
@pytest.mark.parametrize("packing", PACKINGS)
def test_data_without_a_token_is_an_error_and_not_an_endless_search(packing, epochs):
    stream = make_stream([""] * 13, packing=packing)
    with pytest.raises(EmptyDatasetError, match=r"None of the 13 rows"):
        stream.next(stream.start(), 1, epochs=epochs)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"packing": "tight"}, "packing is 'tight'; it must be one of greedy, best_fit"),
        ({"sequence_length": None}, "packing='best_fit' needs a sequence_length"),
        ({"sequence_length": 0}, "sequence_length is 0"),
        ({"window_rows": 0}, "window_rows is 0"),
        ({"encode_id": ""}, "encode_id is empty"),
    ],
)
def test_settings_that_cannot_work_are_named(change, text):
    with pytest.raises(SettingError, match=text):
        make_stream(**change)


def test_a_source_without_rows_is_refused():
    with pytest.raises(EmptyDatasetError, match=r"no row"):
        make_stream([])


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda batch: encode(batch)[1:], "returned 4 arrays for 5 rows"),
        (lambda batch: [[[1, 2]]] * len(batch), r"shape \(1, 2\)"),
        (lambda batch: [[0.5]] * len(batch), "float64 values"),
    ],
)
def test_an_encoder_that_breaks_its_contract_is_named(wrong, text):
    stream = make_stream(encode=wrong)
    with pytest.raises(SettingError, match=text):
        stream.next(stream.start(), 1)


def test_one_pass_can_be_left_early():
    stream = make_stream()
    assert len(list(itertools.islice(stream.one_pass(), 2))) == 2
