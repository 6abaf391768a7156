import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fg_inference import IncrementalDetokenizer


def pieces(tokenizer, ids):
    detokenizer = IncrementalDetokenizer(tokenizer)
    return [detokenizer.add(each) for each in ids] + [detokenizer.flush()]


@pytest.fixture(scope="module")
def tokenizer(loaded):
    return loaded[1]


@settings(deadline=None)
@given(data=st.data())
def test_the_pieces_of_any_tokens_join_to_the_text_of_all(tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=30))
    assert "".join(pieces(tokenizer, ids)) == tokenizer.decode(ids, skip_special_tokens=True)


@settings(deadline=None)
@given(text=st.text(max_size=30))
def test_no_piece_holds_half_a_character(tokenizer, text):
    text = text.replace("\N{REPLACEMENT CHARACTER}", "")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = pieces(tokenizer, ids)
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(found)
    assert "".join(found) == tokenizer.decode(ids, skip_special_tokens=True)


def test_text_comes_as_soon_as_a_character_is_complete(tokenizer):
    ids = tokenizer("a→b", add_special_tokens=False)["input_ids"]
    assert len(ids) == 5
    assert pieces(tokenizer, ids) == ["a", "", "", "→", "b", ""]


def test_an_incomplete_character_at_the_end_is_shown_as_such(tokenizer):
    ids = tokenizer("a🦊", add_special_tokens=False)["input_ids"][:-1]
    assert "".join(pieces(tokenizer, ids)) == "a\N{REPLACEMENT CHARACTER}"
