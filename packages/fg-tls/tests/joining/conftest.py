import pytest

from .hosts import new_issuer, served


@pytest.fixture
def issuer(tmp_path):
    return new_issuer(tmp_path / "muthur")


@pytest.fixture
def running(issuer):
    with served(issuer.store) as found:
        yield found


@pytest.fixture
def token(issuer):
    return issuer.create_token(endpoints=["192.168.7.1:8767"])
