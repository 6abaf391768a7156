from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg_data_server import (
    ConcatSource,
    EmptyDatasetError,
    ListSource,
    RowBatch,
    SettingError,
    SliceSource,
    UnknownColumnError,
)


def numbered(count: int) -> ListSource:
    return ListSource([f"row {n}" for n in range(count)])


def all_rows(source) -> list[str]:
    return list(source.take(np.arange(source.num_rows)).text)


def test_rows_come_in_the_order_asked_and_may_repeat():
    batch = numbered(5).take(np.array([4, 0, 4]))
    assert batch.text == ["row 4", "row 0", "row 4"]
    assert batch.rows.tolist() == [4, 0, 4]
    assert len(batch) == 3


@pytest.mark.parametrize("rows", [[-1], [5], [0, 99]])
def test_rows_outside_a_source_are_refused(rows):
    with pytest.raises(SettingError, match=r"asked of a source of 5 rows"):
        numbered(5).take(np.array(rows))


def test_a_misspelt_column_is_answered_with_the_near_one():
    batch = RowBatch(rows=np.arange(1), columns={"content": ["a"], "url": ["b"]})
    with pytest.raises(UnknownColumnError, match=r"no column 'contents'. Did you mean content"):
        batch.column("contents")
    with pytest.raises(UnknownColumnError, match=r"no column 'text'"):
        _ = batch.text


def test_the_fingerprint_of_a_list_is_its_content():
    assert ListSource(["a", "bc"]).fingerprint == ListSource(("a", "bc")).fingerprint
    different = [["a", "bc"], ["ab", "c"], ["bc", "a"], ["a", "bc", ""], ["abc"], [], ["a", "bc\ud800"]]
    assert len({ListSource(texts).fingerprint for texts in different}) == len(different)


def test_a_list_holds_texts_only():
    with pytest.raises(SettingError, match=r"row 1 of a ListSource is int"):
        ListSource(["a", 3])


@given(
    num_rows=st.integers(1, 200), every=st.integers(2, 40), data=st.data(), part=st.sampled_from(["selection", "rest"])
)
def test_a_slice_is_a_python_slice_and_its_rest(num_rows, every, data, part):
    start = data.draw(st.integers(0, num_rows))
    stop = data.draw(st.integers(start, num_rows))
    offset = data.draw(st.integers(0, every - 1))
    within = [f"row {n}" for n in range(start, stop)]
    expected = within[offset::every] if part == "selection" else within
    if part == "rest":
        expected = [text for place, text in enumerate(within) if place % every != offset]
    options = {"start": start, "stop": stop, "every": every, "offset": offset, "part": part}
    if not expected:
        with pytest.raises(EmptyDatasetError, match=r"holds no row") as caught:
            SliceSource(numbered(num_rows), **options)
        least = int(str(caught.value).partition("at least ")[2].split()[0])
        assert least > stop - start
        assert SliceSource(numbered(start + least), **{**options, "stop": start + least}).num_rows == 1
        return
    assert all_rows(SliceSource(numbered(num_rows), **options)) == expected


def test_a_text_that_is_too_short_to_be_split_says_how_long_it_must_be():
    with pytest.raises(EmptyDatasetError, match=r"at least 2 rows; the rows of a text are its documents"):
        SliceSource(numbered(1), every=40, part="rest")
    with pytest.raises(EmptyDatasetError, match=r"With every=1 all rows are the selection"):
        SliceSource(numbered(9), part="rest")


def test_held_out_rows_and_the_rest_share_nothing_and_miss_nothing():
    source = numbered(100)
    held_out, rest = SliceSource(source, every=32), SliceSource(source, every=32, part="rest")
    assert all_rows(held_out) == ["row 0", "row 32", "row 64", "row 96"]
    assert sorted(all_rows(held_out) + all_rows(rest)) == sorted(all_rows(source))


def test_a_slice_says_its_own_row_numbers():
    assert SliceSource(numbered(100), start=90).take(np.array([3])).rows.tolist() == [3]


def test_the_fingerprint_of_a_slice_is_its_source_and_its_rule():
    slices = [
        SliceSource(numbered(100)),
        SliceSource(numbered(101), stop=100),
        SliceSource(numbered(100), every=4),
        SliceSource(numbered(100), every=4, part="rest"),
        SliceSource(numbered(100), every=4, offset=1),
    ]
    assert len({part.fingerprint for part in slices} | {numbered(100).fingerprint}) == 6
    assert SliceSource(numbered(100), stop=100).fingerprint == SliceSource(numbered(100)).fingerprint


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"stop": 11}, "rows 0 to 11 are not within the 10 rows"),
        ({"start": 6, "stop": 5}, "rows 6 to 5"),
        ({"every": 0}, "every is 0"),
        ({"every": 3, "offset": 3}, "offset is 3; it must be at least 0 and below every=3"),
        ({"part": "train"}, "part is 'train'; it must be one of selection, rest"),
    ],
)
def test_slices_that_cannot_be_are_refused(options, text):
    with pytest.raises(SettingError, match=text):
        SliceSource(numbered(10), **options)


@given(counts=st.lists(st.integers(0, 6), min_size=1, max_size=6).filter(any), data=st.data())
def test_concatenated_sources_are_one_list(counts, data):
    texts = [[f"{number}.{row}" for row in range(count)] for number, count in enumerate(counts)]
    source = ConcatSource([ListSource(part) for part in texts])
    joined = [text for part in texts for text in part]
    rows = data.draw(st.lists(st.integers(0, len(joined) - 1), max_size=20))
    assert source.num_rows == len(joined)
    assert all_rows(source) == joined
    if rows:
        assert source.take(np.array(rows)).text == [joined[row] for row in rows]


def test_concatenation_is_ordered():
    one, two = numbered(2), numbered(3)
    assert ConcatSource([one, two]).fingerprint != ConcatSource([two, one]).fingerprint
    with pytest.raises(EmptyDatasetError, match=r"at least one source"):
        ConcatSource([])
