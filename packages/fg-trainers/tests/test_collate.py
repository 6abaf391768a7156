"""Batches: what is padded, what is a label, where positions restart."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from fg_data_server import Sample
from fg_trainers.data.collate import DataCollatorForCausalLM
from fg_trainers.data.loader import supervised_tokens


def sample(ids, starts=(0,)):
    return Sample(input_ids=np.array(ids, dtype=np.int64), document_starts=np.array(starts, dtype=np.int64))


def test_padding_is_masked_by_length_and_not_by_pad_id():
    collate = DataCollatorForCausalLM(SimpleNamespace(pad_token_id=2))
    batch = collate([sample([1, 5, 2]), sample([1, 2])])
    assert batch["input_ids"].tolist() == [[1, 5, 2], [1, 2, 2]]
    # Token 2 is both pad and EOS: as EOS it is learnt, as padding it is not.
    assert batch["labels"].tolist() == [[-100, 5, 2], [-100, 2, -100]]
    assert supervised_tokens(batch) == 3


def test_a_document_is_never_predicted_from_the_one_before():
    batch = DataCollatorForCausalLM()([sample([1, 7, 8, 1, 9], starts=(0, 3))])
    assert batch["labels"].tolist() == [[-100, 7, 8, -100, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1]]


def test_positions_restart_in_padding_so_that_no_document_reaches_into_it():
    batch = DataCollatorForCausalLM(packed_sequences=True)([sample([1, 7, 8, 9]), sample([1, 7])])
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3], [0, 1, 0, 1]]


def test_position_ids_are_left_out_where_they_say_nothing():
    assert "position_ids" not in DataCollatorForCausalLM()([sample([1, 7]), sample([1, 7, 8])])


def test_a_sample_that_continues_a_document_learns_from_its_second_token():
    batch = DataCollatorForCausalLM()([sample([7, 8, 1, 9], starts=(2,))])
    assert batch["labels"].tolist() == [[7, 8, -100, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1]]
    assert supervised_tokens(batch) == 2
