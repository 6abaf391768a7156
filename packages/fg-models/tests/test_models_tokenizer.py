"""Byte-level BPE: lossless, deterministic, trained once."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fg_models import TokenizerError, TokenizerTrainer, train_bpe, trained_tokenizer

TEXTS = ["the light and the dark", "light upon the deep", "the deep and the light"] * 10
SPECIAL = {"bos_token": "<|BOS|>", "eos_token": "<|EOS|>", "pad_token": "<|PAD|>", "unk_token": "<|UNK|>"}


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_encoding_and_decoding(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_special_tokens_are_distinct_and_come_first(tokenizer):
    assert [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id] == [0, 1, 2]
    assert len(tokenizer) == 300
    assert tokenizer.model_max_length == 128


def test_the_same_texts_give_the_same_tokenizer():
    first, second = (train_bpe(TEXTS, vocab_size=280, model_max_length=64) for _ in range(2))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()


def test_frequent_words_become_one_token(tokenizer):
    assert len(tokenizer(" earth", add_special_tokens=False)["input_ids"]) == 1
    assert len(tokenizer(" zxq", add_special_tokens=False)["input_ids"]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocab_size": 200}, "vocab_size 200 is too small.*need at least 259"),
        ({"special_tokens_map": {"bos_token": "a", "eos_token": "b"}}, "lacks pad_token"),
        ({"special_tokens_map": {"bos_token": "a", "eos_token": "b", "pad_token": "b"}}, "three different tokens"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    with pytest.raises(TokenizerError, match=message):
        train_bpe(TEXTS, **({"vocab_size": 280, "model_max_length": 64} | arguments))


def trainer(directory, **changes):
    return TokenizerTrainer(
        **({"dataset": TEXTS, "output_dir": directory, "vocab_size": 280, "model_max_length": 64} | changes)
    )


def test_a_second_run_loads_what_the_first_trained(tmp_path):
    first = trainer(tmp_path / "t", special_tokens_map=SPECIAL, chat_template="{{ messages }}").run()
    written = (tmp_path / "t" / "tokenizer.json").stat().st_mtime_ns
    second = trainer(tmp_path / "t", special_tokens_map=SPECIAL, chat_template="{{ messages }}").run()
    assert (tmp_path / "t" / "tokenizer.json").stat().st_mtime_ns == written
    assert second.get_vocab() == first.get_vocab()
    assert (second.bos_token, second.unk_token, second.chat_template) == ("<|BOS|>", "<|UNK|>", "{{ messages }}")


@pytest.mark.parametrize(
    "change", [{"vocab_size": 270}, {"dataset": ["other words here"] * 9}, {"model_max_length": 32}]
)
def test_changed_inputs_train_again(tmp_path, change):
    trainer(tmp_path / "t").run()
    before = json.loads((tmp_path / "t" / "tokenizer_source.json").read_text())["hash"]
    again = trainer(tmp_path / "t", **change).run()
    assert json.loads((tmp_path / "t" / "tokenizer_source.json").read_text())["hash"] != before
    expected = train_bpe(
        change.get("dataset", TEXTS),
        vocab_size=change.get("vocab_size", 280),
        model_max_length=change.get("model_max_length", 64),
    )
    assert again.get_vocab() == expected.get_vocab()
    assert again.model_max_length == expected.model_max_length


class Rows:
    """A row source: the shape of a dataset in the data server."""

    num_rows = len(TEXTS)
    fingerprint = "f1"

    class Batch:
        def __init__(self, rows):
            self.columns = {"body": [TEXTS[row] for row in rows]}

    def take(self, rows):
        assert isinstance(rows, np.ndarray)
        return self.Batch(rows)


def test_rows_of_mappings_and_row_sources_give_the_same_tokenizer(tmp_path):
    plain = trained_tokenizer(TEXTS, output_dir=tmp_path / "a", vocab_size=280, model_max_length=64)
    mappings = [{"body": text} for text in TEXTS]
    rows = trainer(tmp_path / "b", dataset=mappings, feature="body").run()
    source = trainer(tmp_path / "c", dataset=Rows(), feature="body").run()
    assert rows.get_vocab() == plain.get_vocab() == source.get_vocab()


def test_no_documents_is_an_error(tmp_path):
    with pytest.raises(TokenizerError, match="has no documents"):
        trainer(tmp_path / "t", dataset=[]).run()
