from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg_data_server import Cursor, CursorError

COUNT = st.integers(0, 2**63)


@given(epoch=COUNT, position=COUNT, window=COUNT, sequence=COUNT, tokens=COUNT, prints=st.lists(st.text(max_size=9)))
def test_a_cursor_survives_json(epoch, position, window, sequence, tokens, prints):
    cursor = Cursor(
        view="v",
        fingerprints=tuple(prints),
        epoch=epoch,
        position=position,
        pack_window=window,
        pack_sequence=sequence,
        consumed_tokens=tokens,
    )
    assert Cursor.from_json(cursor.to_json()) == cursor


def test_a_cursor_of_a_huge_run_is_below_300_bytes():
    cursor = Cursor(
        view="f" * 40,
        fingerprints=("f" * 40,),
        epoch=999,
        position=10**12,
        pack_window=10**9,
        pack_sequence=99_999,
        consumed_tokens=10**14,
    )
    assert len(cursor.to_json()) < 300


def record(**changes):
    return json.loads(Cursor(view="v", fingerprints=("a",), epoch=1, position=2).to_json()) | changes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is a JSON object, not list"),
        (json.dumps(record(version=2)), "version 2; this program reads version 1"),
        (json.dumps(record(positon=2)), "unknown field 'positon'. Did you mean position"),
        (json.dumps({k: v for k, v in record().items() if k != "epoch"}), "lacks epoch"),
        (json.dumps(record(position=-1)), "position=-1"),
        (json.dumps(record(position=1.0)), "position=1.0"),
        (json.dumps(record(epoch=True)), "epoch=True"),
        (json.dumps(record(view=3)), "needs a text as view"),
        (json.dumps(record(fingerprints="abc")), "list of texts as fingerprints"),
        (json.dumps(record(fingerprints=[1])), "list of texts as fingerprints"),
    ],
)
def test_anything_but_a_cursor_is_refused(text, message):
    with pytest.raises(CursorError, match=message):
        Cursor.from_json(text)
