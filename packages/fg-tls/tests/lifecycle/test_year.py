"""A simulated year; FORGATHER_SEEDS=20 lives through twenty of them."""

import os

import pytest

from .year import Year

SEEDS = range(int(os.environ.get("FORGATHER_SEEDS", "1")))


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_types_renew_for_a_year(tmp_path, clock, seed):
    year = Year(tmp_path, clock, days=365, hosts=8, seed=seed)
    happened = year.live()
    assert happened.wrong == []
    assert happened.handshakes > 2000
    assert happened.refused > 100
    assert happened.renewals > 8 * 365 / 30
    newest = year.household.store.authority().certificate
    honest = [each for n, each in enumerate(year.stores) if n != year.stolen]
    assert {each.cluster_authorities() for each in honest} == {(newest,)}
