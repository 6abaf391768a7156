"""A simulated year; with FORGATHER_SEEDS=20 twenty of them, in which keepers look every day."""

import os

import pytest

from .year import Year

SEEDS = int(os.environ.get("FORGATHER_SEEDS", "0"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS or 1))
def test_nobody_types_renew_for_a_year(tmp_path, clock, seed, record_property):
    year = Year(tmp_path, clock, days=365, hosts=8, seed=seed, every=1 if SEEDS else 8)
    happened = year.live()
    assert happened.wrong == []
    assert happened.handshakes > 1000
    assert happened.refused > 10
    # Each is accounted for in the year: three weeks without an issuer are longer than what is left of any certificate.
    record_property("handshakes", happened.handshakes)
    record_property("refused because a certificate had run out", happened.expired)
    assert 0 < happened.expired < happened.handshakes / 20
    assert not year.stores[year.stolen].identity().certificate.valid_at(clock())
    assert happened.renewals > 8 * 365 / 30
    newest = year.household.store.authority().certificate
    honest = [each for n, each in enumerate(year.stores) if n != year.stolen]
    assert {each.cluster_authorities() for each in honest} == {(newest,)}
