"""Texts of a hub are named without being read."""

from __future__ import annotations

import importlib.util

import pytest

import fg_models
from fg_models import HubTexts, TokenizerError, TokenizerTrainer

STORIES = HubTexts(path="roneneldan/TinyStories")


def test_every_setting_is_part_of_the_name_of_the_texts():
    others = [
        HubTexts(path="somebody/else"),
        HubTexts(path=STORIES.path, name="small"),
        HubTexts(path=STORIES.path, split="validation"),
        HubTexts(path=STORIES.path, revision="1f2e3d"),
        HubTexts(path=STORIES.path, feature="story"),
        HubTexts(path=STORIES.path, options={"data_files": "a.txt"}),
    ]
    assert len({STORIES.fingerprint, *(other.fingerprint for other in others)}) == 7
    assert HubTexts(path=STORIES.path).fingerprint == STORIES.fingerprint


def test_a_tokenizer_that_was_trained_is_found_without_the_texts(tmp_path):
    settings = {"output_dir": tmp_path / "t", "vocab_size": 300, "model_max_length": 64}

    class Known(list):
        fingerprint = STORIES.fingerprint

    trained = TokenizerTrainer(dataset=Known(["once upon a time there was a bear"]), **settings).run()
    found = TokenizerTrainer(dataset=STORIES, **settings).run()
    assert found.get_vocab() == trained.get_vocab()


@pytest.mark.skipif(importlib.util.find_spec("datasets") is not None, reason="the library datasets is installed")
def test_without_the_library_the_message_says_what_to_install():
    with pytest.raises(TokenizerError, match=r"roneneldan/TinyStories .*fg-models\[hub\]"):
        next(iter(STORIES))


def test_it_is_a_public_name():
    assert "HubTexts" in fg_models.__all__
