"""Rows become text by a function, and the function is part of what the data is."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from fg_data_server import ListSource
from fg_trainers import MappedRows, text_dataset
from fg_trainers.errors import DatasetError

ROWS = ListSource(["one", "two", "three"])


def shouted(batch):
    return [text.upper() for text in batch.text]


def framed(batch, mark):
    return [f"{mark}{text}{mark}" for text in batch.text]


def framing(mark):
    def frame(batch):
        return [mark + text for text in batch.text]

    return frame


class Letters:
    """A tokenizer with a token for each code point."""

    bos_token_id, eos_token_id = 1, 2
    backend_tokenizer = None

    def __call__(self, texts, **options):
        return {"input_ids": [[ord(letter) for letter in text] for text in texts]}

    def get_vocab(self):
        return {"a": 97}


def test_the_rows_of_the_source_go_through_the_function():
    mapped = MappedRows(ROWS, shouted)
    batch = mapped.take(np.array([2, 0]))
    assert (mapped.num_rows, batch.text, batch.rows.tolist()) == (3, ["THREE", "ONE"], [2, 0])


def test_other_functions_and_other_arguments_are_other_data():
    functions = [
        shouted,
        functools.partial(framed, mark="*"),
        functools.partial(framed, mark="-"),
        framing("*"),
        framing("-"),
    ]
    names = [MappedRows(ROWS, function).fingerprint for function in functions]
    assert len({*names, ROWS.fingerprint}) == 6
    assert MappedRows(ROWS, framing("*")).fingerprint == names[3]
    assert MappedRows(ListSource(["one"]), shouted).fingerprint != names[0]


def test_a_function_that_loses_rows_is_refused():
    with pytest.raises(DatasetError, match="made 1 texts of 2 rows"):
        MappedRows(ROWS, lambda batch: batch.text[:1]).take(np.array([0, 1]))


def test_a_callable_without_source_is_refused():
    with pytest.raises(DatasetError, match="has no source"):
        MappedRows(ROWS, len)


def test_a_dataset_is_made_of_mapped_rows():
    stream = text_dataset(ROWS, Letters(), map_function=shouted, sequence_length=8, packing=None, shuffle_seed=None)
    samples, _ = stream.next(stream.start(), 3)
    texts = ["".join(map(chr, sample.input_ids[1:-1])) for sample in samples]
    assert texts == ["ONE", "TWO", "THREE"]
