import pytest

from .household import Household, SetClock


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def household(tmp_path, clock):
    """An authority and its host; the issuer is not running."""
    return Household(tmp_path, clock)


@pytest.fixture
def running(household):
    """The same, with an issuer."""
    with household.issuing():
        yield household
