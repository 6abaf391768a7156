from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fg_data_server import Order, SettingError

# Frozen: a released algorithm never changes, or resumed runs would see other rows without noticing.
GOLDEN = {
    ("feistel-v1", 1000, 7, 0, 0): [41, 597, 823, 503, 33, 488, 999, 37],
    ("feistel-v1", 1000, 7, 1, 0): [696, 146, 11, 149, 175, 833, 975, 49],
    ("feistel-v1", 10**9, 42, 3, 999_000_000): [
        666370301,
        375863315,
        452822843,
        371447642,
        491928362,
        936987767,
        917147363,
        815733520,
    ],
    ("feistel-v1", 5, 0, 0, 0): [3, 0, 2, 1, 4],
    ("block-v1", 100_000, 7, 0, 0): [27411, 67346, 38330, 55096, 11894, 16896, 75750, 26817],
    ("block-v1", 100_000, 7, 0, 99_992): [97707, 88371, 97695, 35507, 23622, 23646, 84451, 84408],
    ("sequential", 1000, 7, 5, 10): [10, 11, 12, 13, 14, 15, 16, 17],
}


def whole_epoch(order: Order, num_rows: int, epoch: int = 0) -> np.ndarray:
    return order.rows(num_rows=num_rows, epoch=epoch, start=0, count=num_rows)


@pytest.mark.parametrize("case", GOLDEN, ids=str)
def test_the_order_of_a_released_algorithm_is_frozen(case):
    algo, num_rows, seed, epoch, start = case
    rows = Order(algo=algo, seed=seed).rows(num_rows=num_rows, epoch=epoch, start=start, count=min(8, num_rows - start))
    assert rows.tolist() == GOLDEN[case]
    assert rows.dtype == np.int64


@pytest.mark.parametrize("algo", ["feistel-v1", "block-v1", "sequential"])
@pytest.mark.parametrize("num_rows", [1, 2, 3, 255, 256, 257, 1000, 16_384, 16_385, 999_983])
def test_every_row_comes_exactly_once_per_epoch(algo, num_rows):
    rows = whole_epoch(Order(algo=algo, seed=5), num_rows, epoch=2)
    assert np.array_equal(np.bincount(rows, minlength=num_rows), np.ones(num_rows))


@settings(max_examples=40, deadline=None)
@given(data=st.data(), num_rows=st.integers(1, 1000), seed=st.integers(-(2**70), 2**70), epoch=st.integers(0, 10**6))
@pytest.mark.parametrize("algo", ["feistel-v1", "block-v1"])
def test_any_range_is_the_same_part_of_the_epoch(algo, data, num_rows, seed, epoch):
    order = Order(
        algo=algo,
        seed=seed,
        rounds=data.draw(st.integers(3, 9)),
        block_rows=data.draw(st.integers(1, 60)),
        window_blocks=data.draw(st.integers(1, 9)),
    )
    rows = whole_epoch(order, num_rows, epoch)
    assert np.array_equal(np.sort(rows), np.arange(num_rows))
    start = data.draw(st.integers(0, num_rows))
    count = data.draw(st.integers(0, num_rows - start))
    part = order.rows(num_rows=num_rows, epoch=epoch, start=start, count=count)
    assert np.array_equal(part, rows[start : start + count])


def test_a_shuffle_of_a_million_rows_looks_random():
    for seed in range(3):
        rows = whole_epoch(Order(seed=seed), 1_000_000).astype(float)
        assert abs(np.abs(np.diff(rows)).mean() / 1e6 - 1 / 3) < 0.002
        assert abs(np.corrcoef(rows[:-1], rows[1:])[0, 1]) < 0.005


def test_all_24_orders_of_four_rows_are_equally_frequent():
    seen = Counter(tuple(whole_epoch(Order(seed=seed), 4).tolist()) for seed in range(2400))
    assert len(seen) == 24
    chi_square = sum((count - 100) ** 2 / 100 for count in seen.values())
    assert chi_square < 49.7  # 23 degrees of freedom: one true shuffle in a thousand exceeds this


def test_first_positions_are_uniform_over_the_rows():
    first = [Order(seed=seed).rows(num_rows=100, epoch=0, start=0, count=1)[0] // 10 for seed in range(2000)]
    chi_square = ((np.bincount(first, minlength=10) - 200.0) ** 2 / 200).sum()
    assert chi_square < 27.9  # 9 degrees of freedom, p = 0.001


def test_epochs_and_seeds_have_their_own_orders():
    one = whole_epoch(Order(seed=1), 1000, epoch=0)
    for other in (whole_epoch(Order(seed=1), 1000, epoch=1), whole_epoch(Order(seed=2), 1000, epoch=0)):
        assert np.count_nonzero(one == other) < 10


def test_block_order_stays_inside_its_window_of_blocks():
    order = Order(algo="block-v1", seed=9, block_rows=16, window_blocks=4)
    rows = whole_epoch(order, 16 * 400)
    for window in rows.reshape(-1, 64):
        blocks, counts = np.unique(window // 16, return_counts=True)
        assert len(blocks) == 4
        assert set(counts) == {16}
        assert not np.array_equal(window, np.sort(window))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"algo": "feistel"}, "order algo is 'feistel'; it must be one of feistel-v1, block-v1, sequential"),
        ({"rounds": 2}, "order rounds is 2; it must be a whole number of at least 3"),
        ({"seed": 1.5}, "order seed is 1.5"),
        ({"block_rows": 0}, "order block_rows is 0"),
        ({"window_blocks": True}, "order window_blocks is True"),
    ],
)
def test_settings_that_cannot_work_are_named(wrong, text):
    with pytest.raises(SettingError, match=text):
        Order(**wrong)


@pytest.mark.parametrize(("start", "count"), [(-1, 2), (0, 11), (10, 1), (0, -1)])
def test_positions_outside_the_epoch_are_refused(start, count):
    with pytest.raises(SettingError, match=r"outside the epoch of 10 rows"):
        Order().rows(num_rows=10, epoch=0, start=start, count=count)


def test_a_recipe_holds_what_the_order_depends_on_and_nothing_else():
    assert Order(algo="sequential", seed=3).recipe() == {"algo": "sequential"}
    assert Order(seed=3, block_rows=9).recipe() == {"algo": "feistel-v1", "seed": 3, "rounds": 6}
    assert Order(algo="block-v1", seed=3, block_rows=9).recipe()["block_rows"] == 9
